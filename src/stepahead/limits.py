"""What tables and live rows, training and prediction must agree on: how far values and times reach, and forecasts."""

from datetime import datetime, timedelta

# Times are whole steps, or whole microseconds since 1970.
EPOCH = datetime(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
DAY = 86_400_000_000  # microseconds

LARGEST_STEP = 2**62  # so that the steps after it still fit 64 bits
LAST_YEAR = 9000  # so that the times after it can still be written
LARGEST = 1e30  # of a value that is learned from: its square, scaled, must still fit the network's numbers

# The panel recipe measures what it reads and says by the window's mean size.
SLACK = 0.02  # the least sum of sizes that a percentage error is measured by
LOG_FLOOR = 0.02  # the least value that has a logarithm
LEAST_COUNT = 1e-4  # the least mean of a count
FAR = 6.0  # a logarithm that is forecast stays within this of the window's level
WIDE = 8.0  # a logarithm of a spread stays within this
DISPERSION = (1e-6, 10.0)  # the least and the most, of counts
