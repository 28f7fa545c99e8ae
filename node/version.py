"""Which version of Conclave this is. The one place that says it: the distribution's metadata are made from here."""

VERSION = "0.1.0"
