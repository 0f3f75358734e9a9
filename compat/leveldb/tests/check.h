/* Counting checks for the tests of LevelDB's interface: a failed one is printed, and the program's status is 1. */
#ifndef CHECK_H
#define CHECK_H

#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks, failures;

#define CHECK(condition)                                                     \
    do {                                                                     \
        checks++;                                                            \
        if (!(condition)) {                                                  \
            failures++;                                                      \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
        }                                                                    \
    } while (0)

static inline int finish(void)
{
    printf("%d checks, %d failed\n", checks, failures);
    return failures != 0;
}

/* An error is there and begins so; it is freed. */
static inline int fails_with(char **error, const char *prefix)
{
    int right = *error != NULL && strncmp(*error, prefix, strlen(prefix)) == 0;
    if (!right)
        fprintf(stderr, "not \"%s\" but \"%s\"\n", prefix, *error == NULL ? "(none)" : *error);
    free(*error);
    *error = NULL;
    return right;
}

static inline int succeeds(char **error)
{
    if (*error == NULL)
        return 1;
    fprintf(stderr, "error: %s\n", *error);
    free(*error);
    *error = NULL;
    return 0;
}

#endif
