"""`greengate test`: measurements in, the expected outcome of each rule; read and judged as a check is."""
