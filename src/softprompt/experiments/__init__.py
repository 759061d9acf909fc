"""What a stage has to do, what is done already, and how settings are tuned."""
