"""Feature extractors of the detector. Each maps RGB in 0..1 to features, the finest first."""
