"""Training, calibration and evaluation. Torch is imported only in this folder, never on the inference path."""
