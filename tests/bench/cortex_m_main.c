/* Runs the golden inputs; prints how many outputs are as expected, and the ticks of the last run. */
#include <stdio.h>
#include <string.h>

#include "golden.h"
#include MODEL_HEADER

uint32_t board_ticks(void);

int main(void)
{
    static int8_t found[sizeof golden_output[0]];
    uint32_t ticks = 0, started;
    int i, equal = 0;
    for (i = 0; i < GOLDEN_COUNT; i++) {
        started = board_ticks();
        MODEL_RUN(golden_input[i], found);
        ticks = (board_ticks() - started) & 0xffffff;
        equal += memcmp(found, golden_output[i], sizeof found) == 0;
    }
    printf("%d %lu\n", equal, (unsigned long)ticks);
    return 0;
}
