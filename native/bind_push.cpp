// Lane: one live series of a plain network, and many of them at once. The rows come as runtime/rows.py checked them.
#include "push.h"
#include "stepper.h"

namespace stepahead {
namespace {

using Numbers = std::vector<double>;

// A Course, and the networks whose last hidden units its lanes are forecast from.
class BoundCourse {
public:
    std::shared_ptr<const Course> course;

    BoundCourse(nb::list members, Index window, Index horizon, bool difference, double clip, Numbers center,
                Numbers spread, Numbers reach, double floor, bool learns, double gamma, double gain, double trust,
                double farthest, Numbers shares, Numbers ratios, Numbers lean, Numbers grown, double allowance,
                double most, Index recent)
        : kept_(members) {
        const Index inputs = size(center), levels = size(shares), known = size(ratios);
        const bool watches = size(lean) == known + 1 && size(grown) == known + 1;
        if (window - difference < 1 || horizon < 1 || inputs < 1 || recent < 1 || members.size() == 0)
            refuse("members, window, horizon, center: expected something");
        if (size(spread) != inputs || size(reach) != horizon * levels || !(watches || lean.size() + grown.size() == 0))
            refuse("spread, reach, lean, grown: expected [P], [H, L], [K + 1], [K + 1]");
        for (nb::handle member : members) {
            members_.push_back(nb::cast<const Stepper*>(member));
            if (members_.back()->inputs != inputs) refuse("members: expected to read " + std::to_string(inputs));
        }
        course = std::make_shared<const Course>(
            Course{window, inputs, horizon, levels, difference, clip, std::move(center), std::move(spread),
                   std::move(reach), floor, learns, gamma, gain, trust, farthest, std::move(shares), std::move(ratios),
                   std::move(lean), std::move(grown), allowance, most, recent});
    }

    // The last hidden units of each member after a window.   window [T, P] read; to [M, D] written
    void run(const float* window, float* to) const {
        static thread_local std::vector<float> state;
        for (const Stepper* member : members_) {
            const Index size = member->num_layers * member->hidden;
            state.assign(static_cast<std::size_t>(2 * size), 0.0f);
            float* c = member->cell() == Cell::lstm ? state.data() + size : nullptr;
            for (Index t = 0; t < course->steps(); ++t)
                kernel().step(member->one_row(window + t * course->inputs, state.data(), c));
            std::copy_n(state.data() + size - member->hidden, member->hidden, to);
            to += member->hidden;
        }
    }

private:
    static Index size(const Numbers& numbers) { return static_cast<Index>(numbers.size()); }

    nb::list kept_;  // so that the members live
    std::vector<const Stepper*> members_;
};

[[noreturn]] void no_row() { refuse("row: expected (time, values, ...) with a float for each input"); }

// The values of a Row: a tuple that begins with its time and a tuple of floats.
PyObject* values_of(PyObject* row, Index inputs) {
    PyObject* values = PyTuple_Check(row) && PyTuple_GET_SIZE(row) > 1 ? PyTuple_GET_ITEM(row, 1) : nullptr;
    if (values == nullptr || !PyTuple_Check(values) || PyTuple_GET_SIZE(values) != inputs) no_row();
    for (Index p = 0; p < inputs; ++p)
        if (!PyFloat_Check(PyTuple_GET_ITEM(values, p))) no_row();
    return values;
}

double target_of(PyObject* row, Index inputs) {
    return PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(values_of(row, inputs), inputs - 1));
}

void append(Lane& lane, PyObject* row) {
    const Index inputs = lane.c.inputs;
    PyObject* values = values_of(row, inputs);
    const Index time = PyLong_AsLongLong(PyTuple_GET_ITEM(row, 0));
    if (time == -1 && PyErr_Occurred()) throw nb::python_error();
    static thread_local std::vector<double> past;
    past.resize(static_cast<std::size_t>(inputs));
    for (Index p = 0; p < inputs; ++p)
        past[static_cast<std::size_t>(p)] = PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(values, p));
    lane.append(time, past.data());
}

// A row to one lane, and each member's last hidden units then.   to: address of [M, D] float32, written
void take_one(const BoundCourse& bound, Lane& lane, nb::handle row, std::uintptr_t to) {
    if (&lane.c != bound.course.get()) refuse("lane: is of another course");
    append(lane, row.ptr());
    bound.run(lane.read(), reinterpret_cast<float*>(to));
}

nb::list list_of(const double* numbers, Index count) {
    nb::list found = nb::steal<nb::list>(PyList_New(count));
    for (Index i = 0; i < count; ++i) PyList_SET_ITEM(found.ptr(), i, PyFloat_FromDouble(numbers[i]));
    return found;
}

nb::list rows_of(const double* numbers, Index rows, Index columns) {
    nb::list found = nb::steal<nb::list>(PyList_New(rows));
    for (Index i = 0; i < rows; ++i)
        PyList_SET_ITEM(found.ptr(), i, list_of(numbers + i * columns, columns).release().ptr());
    return found;
}

nb::tuple bounds_of(Lane& lane) {
    const Forecast now(lane.c, lane.present());
    return nb::make_tuple(list_of(now.mean, lane.c.horizon), rows_of(now.lo, lane.c.horizon, lane.c.levels),
                          rows_of(now.hi, lane.c.horizon, lane.c.levels));
}

template <class T>
nb::bytes bytes_of(const T* from, Index count) {
    return nb::bytes(reinterpret_cast<const char*>(from), sizeof(T) * static_cast<std::size_t>(count));
}

template <class T>
void copy_into(T* to, const nb::bytes& from, Index count) {
    if (from.size() != sizeof(T) * static_cast<std::size_t>(count)) refuse("state: is of another size");
    std::memcpy(to, from.c_str(), from.size());
}

Lane* new_lane(const BoundCourse& bound, const Read& times, const Read& past) {
    const Course& c = *bound.course;
    const Index* time = contiguous<Index>(times, "times", {c.window});
    const double* values = contiguous<double>(past, "past", {c.window, c.inputs});
    auto lane = std::make_unique<Lane>(bound.course);
    for (Index t = 0; t < c.window; ++t) lane->append(time[t], values + t * c.inputs);
    return lane.release();
}

void learn_one(Lane& lane, const std::vector<double>& said, bool judged) {
    if (static_cast<Index>(said.size()) != lane.c.horizon) refuse("said: expected [H]");
    if (judged) lane.learn(lane.read(), said.data(), lane.last_target());
    else lane.stretch(lane.read(), said.data(), lane.last_target());
}

nb::tuple state_of(Lane& lane) {
    const Index size = lane.c.levels == 0 ? 0 : lane.c.forecast_size() + 2;
    std::vector<double> waiting;
    for (Index ago = 0; ago < lane.waiting(); ++ago)
        waiting.insert(waiting.end(), lane.pending(ago), lane.pending(ago) + size);
    return nb::make_tuple(bytes_of(waiting.data(), static_cast<Index>(waiting.size())),
                          bytes_of(lane.widths(), lane.c.horizon * lane.c.levels), bytes_of(lane.sums(), 3),
                          bytes_of(lane.record(), lane.c.recent * (1 + lane.c.levels)), lane.seen());
}

void restore(Lane& lane, const nb::bytes& waiting, const nb::bytes& widths, const nb::bytes& sums,
             const nb::bytes& record, Index seen) {
    const Course& c = lane.c;
    const Index size = c.forecast_size() + 2;
    const Index count = static_cast<Index>(waiting.size() / sizeof(double)) / size;
    if (count > (c.levels == 0 ? 0 : c.horizon) || seen < 0) refuse("state: is of another size");
    copy_into(lane.widths(), widths, c.horizon * c.levels);
    copy_into(lane.sums(), sums, 3);
    copy_into(lane.record(), record, c.recent * (1 + c.levels));
    lane.set_seen(seen);
    if (count == 0) return;
    lane.set_waiting(count);
    copy_into(lane.pending(0), waiting, count * size);
    std::memcpy(lane.present(), lane.pending(0), sizeof(double) * static_cast<std::size_t>(c.forecast_size()));
}

// How many forecasts were judged of late, and how many truths lay inside each level's interval.
std::vector<Index> record_of(Lane& lane) {
    const Index columns = 1 + lane.c.levels;
    std::vector<Index> sums(static_cast<std::size_t>(columns), 0);
    for (Index i = 0; i < lane.c.recent * columns; ++i) sums[static_cast<std::size_t>(i % columns)] += lane.record()[i];
    return sums;
}

std::vector<Lane*> lanes_of(const nb::list& lanes, const nb::list& rows) {
    if (lanes.size() != rows.size() || lanes.size() == 0) refuse("lanes, rows: expected as many");
    std::vector<Lane*> found;
    found.reserve(lanes.size());
    for (nb::handle lane : lanes) found.push_back(nb::cast<Lane*>(lane));
    for (std::size_t n = 0; n < found.size(); ++n) {
        if (&found[n]->c != &found[0]->c) refuse("lanes: expected those of one course");
        values_of(PyList_GET_ITEM(rows.ptr(), static_cast<Py_ssize_t>(n)), found[0]->c.inputs);
    }
    return found;
}

// A row to each lane; x becomes what the network reads of each then.
void take_many(const nb::list& lanes, const nb::list& rows, const Write& x) {
    const std::vector<Lane*> found = lanes_of(lanes, rows);
    const Course& c = found[0]->c;
    const Index count = static_cast<Index>(found.size()), size = c.steps() * c.inputs;
    float* to = contiguous<float>(x, "x", {count, c.steps(), c.inputs});
    for (Index n = 0; n < count; ++n) {
        append(*found[static_cast<std::size_t>(n)], PyList_GET_ITEM(rows.ptr(), n));
        std::memcpy(to + n * size, found[static_cast<std::size_t>(n)]->read(), sizeof(float) * size);
    }
}

// What follows: widths learn, forecasts get their bounds. A lane may be there with several rows, in their order.
nb::object learn_many(const nb::list& lanes, const nb::list& rows, const Read& x, const Read& said, bool tell) {
    const std::vector<Lane*> found = lanes_of(lanes, rows);
    const Course& c = found[0]->c;
    const Index count = static_cast<Index>(found.size()), size = c.steps() * c.inputs;
    const float* windows = contiguous<float>(x, "x", {count, c.steps(), c.inputs});
    const double* points = contiguous<double>(said, "said", {count, c.horizon});
    nb::list told;
    for (Index n = 0; n < count; ++n) {
        Lane& lane = *found[static_cast<std::size_t>(n)];
        lane.learn(windows + n * size, points + n * c.horizon, target_of(PyList_GET_ITEM(rows.ptr(), n), c.inputs));
        if (tell) told.append(bounds_of(lane));
    }
    return tell ? nb::object(told) : nb::none();
}

}  // namespace

void bind_push(nb::module_& module) {
    using nb::arg;
    nb::class_<BoundCourse>(module, "Course")
        .def(nb::init<nb::list, Index, Index, bool, double, Numbers, Numbers, Numbers, double, bool, double, double,
                      double, double, Numbers, Numbers, Numbers, Numbers, double, double, Index>(),
             arg("members"), arg("window"), arg("horizon"), arg("difference"), arg("clip"), arg("center"),
             arg("spread"), arg("reach"), arg("floor"), arg("learns"), arg("gamma"), arg("gain"), arg("trust"),
             arg("farthest"), arg("shares"), arg("ratios"), arg("lean"), arg("grown"), arg("allowance"), arg("most"),
             arg("recent"))
        .def("take", &take_one, arg("lane"), arg("row"), arg("to"));
    nb::class_<Lane>(module, "Lane")
        .def(nb::new_(&new_lane), arg("course"), arg("times").noconvert(),
             arg("past").noconvert())
        .def("learn", &learn_one, arg("said"), arg("judged"))
        .def("bounds", &bounds_of)
        .def("window", [](const Lane& lane) { return bytes_of(lane.read(), lane.c.steps() * lane.c.inputs); })
        .def("times", [](const Lane& lane) { return bytes_of(lane.last_times(), lane.c.window); })
        .def("past", [](const Lane& lane) { return bytes_of(lane.last_past(), lane.c.window * lane.c.inputs); })
        .def("copy", [](const Lane& lane) { return new Lane(lane); })
        .def("state", &state_of)
        .def("restore", &restore, arg("waiting"), arg("widths"), arg("sums"), arg("record"), arg("seen"))
        .def("record", &record_of)
        .def("sums", [](Lane& lane) { return list_of(lane.sums(), 3); });
    module.def("take_many", &take_many, arg("lanes"), arg("rows"), arg("x").noconvert());
    module.def("learn_many", &learn_many, arg("lanes"), arg("rows"), arg("x").noconvert(), arg("said").noconvert(),
               arg("tell"));
}

}  // namespace stepahead
