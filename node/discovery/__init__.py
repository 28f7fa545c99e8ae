"""Finding peers whose addresses are unknown or have changed: one file per way of finding, all behind `port`."""
