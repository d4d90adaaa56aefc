"use strict";
// A page without charts: the switch between light and dark alone.
charting.start();
