/* Breaks the rules on purpose: AddressSanitizer must see it, inside the library too. `planted DIRECTORY overflow|leak` */
#include <esker.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    esker_db *db;
    if (argc != 3 || esker_open(argv[1], NULL, ESKER_OPEN_CREATE, &db, NULL) != ESKER_OK)
        return 1;
    char *volatile key = malloc(8);
    if (!key)
        return 1;
    memset(key, 'k', 8);
    /* The library is told of 64 bytes and reads them. */
    if (esker_put(db, NULL, key, strcmp(argv[2], "overflow") == 0 ? 64 : 8, "v", 1) != ESKER_OK)
        return 1;
    if (strcmp(argv[2], "leak") == 0)
        key = NULL;
    free(key);
    if (esker_close(db, 0, NULL) != ESKER_OK)
        return 1;
    puts("nothing was seen");
    return 0;
}
