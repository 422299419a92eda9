"""People's ways in: passwords, sign-ins, invitations, tokens, and who has which role."""
