"""Each filter alone, around a handler of the test's own."""
