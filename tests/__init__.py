"""The tests, as a package, so that what they share is imported by one name wherever they are started."""
