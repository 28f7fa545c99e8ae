"""Real daemons under real faults: killed, stopped, cut off, delayed, out of disk, with clocks that jump."""
