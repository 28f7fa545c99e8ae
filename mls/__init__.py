"""RFC 9420 (Messaging Layer Security), sans-I/O."""
