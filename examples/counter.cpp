// A small C++ class, and the functions with C names through which Python reaches it (see native_counter.py).
class Counter {
  public:
    explicit Counter(long start) : value(start) {}
    long add(long by) { return value += by; }
    double mean(long calls) const { return calls ? double(value) / double(calls) : 0.0; }

  private:
    long value;
};

extern "C" {
Counter *counter_new(long start) { return new Counter(start); }
void counter_delete(Counter *counter) { delete counter; }
long counter_add(Counter *counter, long by) { return counter->add(by); }
double counter_mean(const Counter *counter, long calls) { return counter->mean(calls); }
}
