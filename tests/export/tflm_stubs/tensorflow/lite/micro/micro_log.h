// Stand-in for the part of TFLite Micro's header that exported test applications use.
#pragma once
#include <cstdio>

#define MicroPrintf(...) (std::printf(__VA_ARGS__), std::printf("\n"))
