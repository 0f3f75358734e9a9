//! Nothing: this package only names what leveldb.sh fetches.
