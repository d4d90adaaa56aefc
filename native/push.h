// One live series of a plain network: its newest rows, raw and scaled, and intervals that learn from each truth.
//
// The sums of runtime/window.py and runtime/adaptive.py in the same order, without Python's objects: those two say why
// each is there, and serve where this was not built.
// W rows of a window, T steps (one fewer when differenced), P inputs, H horizon, L levels, K held-out errors, R recent.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "kernel.h"

namespace stepahead {

// What all series of one model have in common.
struct Course {
    Index window, inputs, horizon, levels;  // W, P, H, L
    bool difference;
    double clip;                         // infinite: none
    std::vector<double> center, spread;  // [P]
    std::vector<double> reach;           // [H, L], for a window that moves by one
    double floor;                        // the least movement that counts
    bool learns;                         // whether widths do
    double gamma, gain, trust;           // how far one miss or hit moves a width: gain / (trust + 1 + seen), or gamma
    double farthest;                     // a width stays within this, either way
    std::vector<double> shares;          // [L] of misses, that are promised
    std::vector<double> ratios, lean, grown;  // [K] ascending, [K + 1], [K + 1]; all empty: nothing is watched
    double allowance, most;                   // of the cumulative sums
    Index recent;                             // R, pushes that the record looks back on

    Index steps() const { return window - difference; }
    Index forecast_size() const { return horizon * (1 + 2 * levels); }
};

// A forecast: mean [H], lo [H, L], hi [H, L], one behind the other.
struct Forecast {
    double *mean, *lo, *hi;
    Forecast(const Course& c, double* at) : mean(at), lo(at + c.horizon), hi(lo + c.horizon * c.levels) {}
};

class Lane {
public:
    const Course& c;

    explicit Lane(const std::shared_ptr<const Course>& course)
        : c(*course), course_(course), room_(c.window + c.window / 2 + 8), doubles_(count_doubles()),
          bytes_(count_bytes()), block_(new unsigned char[bytes_]()) {}

    Lane(const Lane& other)
        : c(other.c), course_(other.course_), room_(other.room_), doubles_(other.doubles_), bytes_(other.bytes_),
          stop_(other.stop_), waiting_(other.waiting_), first_(other.first_), seen_(other.seen_),
          block_(new unsigned char[bytes_]) {
        std::memcpy(block_.get(), other.block_.get(), bytes_);
    }

    // Rows

    void append(Index time, const double* past) {
        if (stop_ == room_) {  // the last window moves to the front
            const Index from = room_ - c.window;
            std::memmove(times(), times() + from, sizeof(Index) * c.window);
            std::memmove(this->past(), this->past() + from * c.inputs, sizeof(double) * c.window * c.inputs);
            std::memmove(scaled(), scaled() + from * c.inputs, sizeof(float) * c.window * c.inputs);
            stop_ = c.window;
        }
        double* row = this->past() + stop_ * c.inputs;
        float* features = scaled() + stop_ * c.inputs;
        std::memcpy(row, past, sizeof(double) * c.inputs);
        times()[stop_] = time;
        for (Index p = 0; p < c.inputs; ++p) {
            // A first row has none before it: no change.
            const double value = !c.difference ? past[p] : stop_ > 0 ? past[p] - row[p - c.inputs] : 0.0;
            const double feature = (value - c.center[p]) / c.spread[p];
            features[p] = static_cast<float>(std::min(std::max(feature, -c.clip), c.clip));
        }
        ++stop_;
    }

    const float* read() const { return scaled() + (stop_ - c.steps()) * c.inputs; }  // [T, P], what the network reads
    const Index* last_times() const { return times() + stop_ - c.window; }           // [W]
    const double* last_past() const { return past() + (stop_ - c.window) * c.inputs; }  // [W, P]
    double last_target() const { return past()[stop_ * c.inputs - 1]; }

    // Forecasts

    // What follows a row that was taken in.   window [T, P], said [H] read
    void learn(const float* window, const double* said, double truth) {
        judge(truth);
        stretch(window, said, truth);
    }

    // The forecast from a window, remembered until its truth comes.
    void stretch(const float* window, const double* said, double last) {
        const Forecast now(c, present());
        bounds(window, said, last, now);
        if (c.levels == 0) return;
        const double below = now.mean[0] - now.lo[0], above = now.hi[0] - now.mean[0];
        if (c.learns)
            for (Index h = 0; h < c.horizon; ++h) widen(h, now.mean[h], now.lo + h * c.levels, now.hi + h * c.levels);
        first_ = (first_ + c.horizon - 1) % c.horizon;
        waiting_ = std::min(waiting_ + 1, c.horizon);
        double* kept = pending(0);
        std::memcpy(kept, present(), sizeof(double) * c.forecast_size());
        kept[c.forecast_size()] = below;
        kept[c.forecast_size() + 1] = above;
    }

    double* present() { return numbers(); }                                      // [H (1 + 2 L)]
    double* widths() { return present() + c.forecast_size(); }                   // [H, L]
    double* sums() { return widths() + c.horizon * c.levels; }                   // up, down, grown
    std::int16_t* record() { return reinterpret_cast<std::int16_t*>(scaled() + room_ * c.inputs); }  // [R, 1 + L]
    // The forecast made so many pushes ago, and its own first reach below and above: [H (1 + 2 L) + 2].
    double* pending(Index ago) {
        return sums() + 3 + (first_ + ago) % c.horizon * (c.forecast_size() + 2);
    }
    Index waiting() const { return waiting_; }
    void set_waiting(Index count) { first_ = 0, waiting_ = count; }
    Index seen() const { return seen_; }
    void set_seen(Index count) { seen_ = count; }

private:
    Index count_doubles() const {
        const Index forecasts = c.levels == 0 ? 0 : c.horizon * (c.forecast_size() + 2);
        return c.forecast_size() + c.horizon * c.levels + 3 + forecasts;
    }
    std::size_t count_bytes() const {
        return static_cast<std::size_t>(8 * doubles_ + 2 * c.recent * (1 + c.levels) + room_ * (8 + 12 * c.inputs));
    }

    // The block, the widest numbers first: intervals, times, past, scaled, record.
    double* numbers() const { return reinterpret_cast<double*>(block_.get()); }
    Index* times() const { return reinterpret_cast<Index*>(numbers() + doubles_); }
    double* past() const { return reinterpret_cast<double*>(times() + room_); }
    float* scaled() const { return reinterpret_cast<float*>(past() + room_ * c.inputs); }

    void judge(double truth) {
        if (waiting_ == 0 || std::isnan(truth)) return;
        std::int16_t* line = record() + seen_ % c.recent * (1 + c.levels);
        std::fill(line, line + 1 + c.levels, std::int16_t{0});
        line[0] = static_cast<std::int16_t>(waiting_);
        const double gamma = std::max(c.gain / (c.trust + 1 + static_cast<double>(seen_)), c.gamma);
        for (Index step = 0; step < waiting_; ++step) {
            const Forecast made(c, pending(step));
            for (Index i = 0; i < c.levels; ++i) {
                const Index at = step * c.levels + i;
                const bool inside = made.lo[at] <= truth && truth <= made.hi[at];
                line[1 + i] = static_cast<std::int16_t>(line[1 + i] + inside);
                const double moved = widths()[at] + gamma * (inside ? -c.shares[i] : 1 - c.shares[i]);
                widths()[at] = std::min(std::max(moved, -c.farthest), c.farthest);
            }
        }
        ++seen_;
        if (!c.lean.empty()) watch(truth);
    }

    void watch(double truth) {
        const double* newest = pending(0);
        const double error = truth - newest[0], reach = newest[c.forecast_size() + (error > 0)];
        const double far = std::numeric_limits<double>::infinity();
        const double ratio = reach > 0 ? std::fabs(error) / reach : error != 0 ? far : 0.0;
        const auto low = std::lower_bound(c.ratios.begin(), c.ratios.end(), ratio) - c.ratios.begin();
        const auto high = std::upper_bound(c.ratios.begin(), c.ratios.end(), ratio) - c.ratios.begin();
        const std::size_t rank = static_cast<std::size_t>((low + high) / 2);
        const double lean = error < 0 ? -c.lean[rank] : c.lean[rank];
        const double steps[3] = {lean, -lean, c.grown[rank]};
        for (int i = 0; i < 3; ++i)
            sums()[i] = std::min(std::max(sums()[i] + steps[i] - c.allowance, 0.0), c.most);
    }

    // The model's own bounds.
    void bounds(const float* window, const double* said, double last, const Forecast& to) const {
        const double unit = c.spread[c.inputs - 1], base = c.center[c.inputs - 1] + (c.difference ? last : 0.0);
        const double moved = c.levels == 0 ? 0.0 : std::max(movement(window), c.floor);
        for (Index h = 0; h < c.horizon; ++h) {
            to.mean[h] = base + unit * said[h];
            for (Index i = h * c.levels; i < (h + 1) * c.levels; ++i) {
                to.lo[i] = base + unit * (said[h] - moved * c.reach[i]);
                to.hi[i] = base + unit * (said[h] + moved * c.reach[i]);
            }
        }
    }

    // The mean absolute change of the target from row to row.
    double movement(const float* window) const {
        const Index steps = c.steps(), changes = steps - !c.difference;
        if (changes == 0) return 1.0;
        const float* target = window + c.inputs - 1;
        double sum = 0;
        for (Index t = steps - changes; t < steps; ++t) {
            const double now = target[t * c.inputs];
            sum += std::fabs(c.difference ? now : now - static_cast<double>(target[(t - 1) * c.inputs]));
        }
        return sum / static_cast<double>(changes);
    }

    // The bounds of one step ahead, stretched; a wider level never lies within a narrower one.   lo, hi [L] updated
    void widen(Index step, double middle, double* lo, double* hi) {
        double below = 0, above = 0;
        for (Index i = 0; i < c.levels; ++i) {
            const double factor = std::exp(widths()[step * c.levels + i]);
            below = std::max(below, factor * (middle - lo[i]));
            above = std::max(above, factor * (hi[i] - middle));
            lo[i] = middle - below;
            hi[i] = middle + above;
        }
    }

    std::shared_ptr<const Course> course_;
    Index room_, doubles_;
    std::size_t bytes_;
    Index stop_ = 0;                         // rows behind the last one
    Index waiting_ = 0, first_ = 0, seen_ = 0;  // forecasts whose truth is to come, the newest, truths so far
    std::unique_ptr<unsigned char[]> block_;
};

}  // namespace stepahead
