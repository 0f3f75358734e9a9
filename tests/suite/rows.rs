//! Pouring rows: the same rows as a cursor gives one by one, whatever the sink refuses.

use crate::simdb::*;
use esker::internals::db::read::ReadParams;
use esker::internals::db::rows::RowSink;
use esker::internals::env::sim::SimKernel;

type Row = (Vec<u8>, Vec<u8>);

/// Takes up to `room` rows, is full after `most`.
struct Taker {
    rows: Vec<Row>,
    room: usize,
    most: usize,
}

impl RowSink for Taker {
    fn take(&mut self, key: &[u8], value: &[u8]) -> bool {
        let fits = self.rows.len() < self.room;
        if fits {
            self.rows.push((key.to_vec(), value.to_vec()));
        }
        fits
    }

    fn is_full(&self) -> bool {
        self.rows.len() == self.most
    }

    fn last_key(&self) -> Option<&[u8]> {
        self.rows.last().map(|(key, _)| key.as_slice())
    }
}

/// All rows of a range, poured in parts of `room` rows, with a refusal before each part.
fn poured(
    db: &esker::internals::db::handle::Db,
    params: &ReadParams,
    reverse: bool,
    room: usize,
) -> Vec<Row> {
    let mut iter = db.iter(params).expect("opens");
    let mut all = Vec::new();
    loop {
        let mut nothing = Taker { rows: Vec::new(), room: 0, most: 0 };
        let ended = iter.pour(reverse, None, &mut nothing).expect("sound");
        assert!(nothing.rows.is_empty());
        if let Some((key, value)) = all.last().filter(|_| iter.valid()) {
            let row: (&Vec<u8>, &Vec<u8>) = (key, value);
            assert_eq!((iter.key(), iter.value()), (row.0.as_slice(), row.1.as_slice()));
        }
        if ended {
            return all;
        }
        let most = if room % 2 == 0 { room } else { usize::MAX };
        let mut taker = Taker { rows: Vec::new(), room, most };
        let ended = iter.pour(reverse, None, &mut taker).expect("sound");
        assert!(!taker.rows.is_empty(), "the row refused before is offered again");
        all.extend(taker.rows);
        if ended {
            return all;
        }
    }
}

#[test]
fn poured_rows_are_the_rows_of_the_cursor_in_both_directions() {
    let kernel = SimKernel::new(1);
    let db = open(&kernel, &tiny()).expect("opens");
    for round in 0..3u32 {
        for n in 0..120u32 {
            let key = format!("key{:03}", (n * 37 + round) % 200);
            match (n + round) % 5 {
                0 => db.delete(&buffered(), key.as_bytes()).expect("written"),
                _ => db
                    .put(&buffered(), key.as_bytes(), &vec![round as u8; n as usize])
                    .expect("written"),
            };
        }
    }
    let expected: Vec<Row> = rows(&db).into_iter().collect();
    assert!(expected.len() > 100);
    let all = ReadParams::default();
    let part = ReadParams {
        lower: Some(b"key020".to_vec()),
        upper: Some(b"key150".to_vec()),
        ..ReadParams::default()
    };
    let inside: Vec<Row> = expected
        .iter()
        .filter(|(key, _)| key.as_slice() >= &b"key020"[..] && key.as_slice() < &b"key150"[..])
        .cloned()
        .collect();
    for room in [1, 2, 3, 7, 64, 1000] {
        for (params, expected) in [(&all, &expected), (&part, &inside)] {
            assert_eq!(&poured(&db, params, false, room), expected, "room {room}");
            let mut backward = poured(&db, params, true, room);
            backward.reverse();
            assert_eq!(&backward, expected, "backward, room {room}");
        }
    }
}

#[test]
fn a_refused_row_does_not_count_against_the_limit() {
    let kernel = SimKernel::new(1);
    let db = open(&kernel, &calm()).expect("opens");
    for n in 0..10u8 {
        db.put(&buffered(), &[n], &[n]).expect("written");
    }
    for reverse in [false, true] {
        let params = ReadParams { limit: 5, ..ReadParams::default() };
        assert_eq!(poured(&db, &params, reverse, 1).len(), 5);
    }
}

#[test]
fn many_keys_are_read_from_one_view_with_an_answer_each() {
    let kernel = SimKernel::new(1);
    let db = open(&kernel, &tiny()).expect("opens");
    for n in 0..100u8 {
        db.put(&buffered(), &[n], &vec![n; usize::from(n)]).expect("written");
    }
    let long = vec![0; 65_536];
    let keys: [&[u8]; 5] = [&[7], &[200], &long, &[7], &[99]];
    let mut answers = Vec::new();
    db.multi_get(
        &ReadParams::default(),
        keys.len(),
        |at| Ok(keys[at]),
        |at, found| {
            assert_eq!(at, answers.len(), "in the order of keys");
            answers.push(found.map(|value| value.map(|v| v.len())).map_err(|e| e.kind()));
        },
    )
    .expect("open");
    let limit = Err(esker::internals::error::ErrorKind::Limit);
    assert_eq!(answers, [Ok(Some(7)), Ok(None), limit, Ok(Some(7)), Ok(Some(99))]);
}
