"""Ten years of a stock's days: does a recurrent network beat repeating the last close?  Writes goog.png beside you."""

import stepahead as sa

panel = sa.read(sa.samples.path("goog"), time="date", target="close")
print(sa.windows(panel.head(20), window=7))

for recipe in ("classic", "price"):
    result = sa.backtest(sa.Forecaster(recipe=recipe), panel, test_size=0.3)
    print(f"{recipe}: {result.verdict}")
result.plot("goog.png")
