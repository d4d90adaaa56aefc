"""A made series with a season: how long must the window be, and what comes next, with an interval?"""

import numpy as np

import stepahead as sa

rng = np.random.default_rng(1)
y = np.zeros(400)
for t in range(12, len(y)):
    y[t] = 0.8 * y[t - 12] + rng.normal()
panel = sa.Panel.from_arrays(y)

base = sa.Forecaster(recipe="classic", cell="rnn", max_steps=200, season_length=12)
earlier = panel.head(320)  # fit holds the last fifth out for its verdict: those rows must not help to choose the window
choice = sa.choose_window(base, earlier, windows=(1, 7, 14, 28))
print(choice)

model = base.set_params(window=choice.chosen).fit(panel)
print(model.verdict_)
print(model.predict(level=[80]))
