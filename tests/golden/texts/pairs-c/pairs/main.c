/* Runs pairs.
 *
 *     pairs_test          self test: runs the golden inputs; exit code 0 if all outputs are the expected codes, else 1
 *     pairs_test --run    reads inputs as raw codes from standard input, writes outputs to standard output
 *
 * Compiled with QATVIZ_DUMP defined, --run writes the output of each layer, in order, instead of the model's outputs.
 */
#include "pairs.h"
#include "golden.h"

#include <stdio.h>
#include <string.h>

#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

static int8_t codes[PAIRS_INPUT_SIZE];
static int8_t found[PAIRS_OUTPUT_SIZE];
#ifdef QATVIZ_DUMP
static int dumping;

void qatviz_dump(const char *layer, const void *layer_codes, uint32_t bytes)
{
    if (dumping && fwrite(layer_codes, 1, bytes, stdout) != bytes)
        fprintf(stderr, "layer %s: can't be written\n", layer);
}
#endif

static int run(void)
{
    size_t length;
#ifdef _WIN32
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
#endif
    while ((length = fread(codes, 1, sizeof codes, stdin)) == sizeof codes) {
        pairs_run(codes, found);
#ifndef QATVIZ_DUMP
        if (fwrite(found, 1, sizeof found, stdout) != sizeof found)
            return 1;
#endif
    }
    if (length != 0)
        fprintf(stderr, "the last input has %lu bytes of %lu\n", (unsigned long)length, (unsigned long)sizeof codes);
    return length != 0 || fflush(stdout) != 0;
}

static int self_test(void)
{
    int i, equal = 0;
    for (i = 0; i < GOLDEN_COUNT; i++) {
        pairs_run(golden_input[i], found);
        equal += memcmp(found, golden_output[i], sizeof found) == 0;
    }
    printf("pairs: %d of %d golden outputs are the expected codes\n", equal, GOLDEN_COUNT);
    return equal != GOLDEN_COUNT;
}

int main(int argc, char **argv)
{
    if (argc == 1)
        return self_test();
    if (argc == 2 && strcmp(argv[1], "--run") == 0) {
#ifdef QATVIZ_DUMP
        dumping = 1;
#endif
        return run();
    }
    fprintf(stderr, "usage: %s [--run]\n", argv[0]);
    return 2;
}
