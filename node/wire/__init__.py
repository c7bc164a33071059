"""What nodes say to each other: the bodies of sealed, signed messages, validated where they arrive."""
