/* The header may be included twice and needs nothing before it. */
#include "esker.h"
#include "esker.h"

int main(void) {
  return esker_version() == ESKER_VERSION ? 0 : 1;
}
