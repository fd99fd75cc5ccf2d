"""Objects and fields: recorded describes, fields made in the same shape, and the text form of every value."""
