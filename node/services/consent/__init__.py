"""The household's side of a consent: what is asked, what is accepted, what is signed."""
