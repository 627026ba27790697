/* Inputs and expected output codes, computed by the integer model's simulator. Written by qatviz. */
#include <stdint.h>

#define GOLDEN_COUNT 1

static const int8_t golden_input[1][25] = {
    {74, 56, -47, 14, 106, -126, 74, -116, -77, -13, -11, 112, -51, 26, -61, 62, -120, 10, 96,
    40, 18, -106, -122, -35, 68}};
static const int8_t golden_output[1][2] = {
    {112, 86}};
