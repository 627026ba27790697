// Runs pairs on an input whose output is known, over and over, and prints whether the output is the expected one and how
// long it took.
#include <pairs.h>

#include "golden.h"

static int8_t found[PAIRS_OUTPUT_SIZE];

void setup() {
  Serial.begin(115200);
}

void loop() {
  const unsigned long start = micros();
  pairs_run(golden_input[0], found);
  const unsigned long duration = micros() - start;

  int equal = 0;
  for (int i = 0; i < PAIRS_OUTPUT_SIZE; i++) {
    equal += found[i] == golden_output[0][i];
  }
  Serial.print(equal == PAIRS_OUTPUT_SIZE ? "as expected: " : "WRONG: ");
  Serial.print(equal);
  Serial.print(" of ");
  Serial.print(PAIRS_OUTPUT_SIZE);
  Serial.print(" codes equal, ");
  Serial.print(duration);
  Serial.println(" us");
  delay(1000);
}
