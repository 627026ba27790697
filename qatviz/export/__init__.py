"""What leaves the program: one neutral integer model of a trained network, and the formats written from it."""
