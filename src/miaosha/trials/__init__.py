"""Trials: tests of the platform from outside, by a demo with its crowd and by many sockets.

The crowd, the checker and the rehearsal's clients share no code with the roles: they know the
public contract alone, so that a mistake is not made twice. One exception: `rehearsal/token_mint`
signs with the platform's keyring, since a million sign-ins would be a trial of their own.

Reading order: `demo`, `sample_sale`, `crowd`, `snapshot`, `terminal`, `checker`, `report`;
`rehearsal`.
"""
