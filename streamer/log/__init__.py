"""The log: where the roles meet. `base` is the contract, `local` and `kafka` keep it."""
