"""The hub's end of the talk with a booted instance. docs/handshake.md is the contract, on the wire and in meaning."""
