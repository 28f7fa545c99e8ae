"""Key packages: a pool of one-time ones, replicas that hand them out while their owner sleeps, and claims on them."""
