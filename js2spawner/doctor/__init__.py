"""`js2 doctor`: will a hub work here? Looks, changes nothing, and says what to do about what is wrong."""
