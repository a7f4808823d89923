"""Fine-tuning a denoiser on noisy data, without clean images."""
