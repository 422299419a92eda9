"""The pages before the pages: signing in, joining by a link, an OpenID Connect provider."""
