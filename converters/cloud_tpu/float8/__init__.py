"""Products of 8-bit floats (float8_e4m3fn) for the chip that computes them faster than bfloat16: tpu7x.

    bfloat16 graph ──ranges, on calibration samples──> scales ──rewrite──> graph with float8 weights and operands

TensorFlow has no operator that multiplies float8, so both operands are cast to bfloat16, which holds them exactly; the
TPU compiler takes the casts into the product.  Elsewhere the same graph gives the same products, without the gain.
"""
