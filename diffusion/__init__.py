"""Discrete diffusion: processes, samplers, guidance, likelihood. Nothing here knows a network."""
