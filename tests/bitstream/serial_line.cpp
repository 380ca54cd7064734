// A host at the pins of a board: bytes from stdin go to rx, one sample at a time; what tx answers goes to stdout.
// Arguments: clock cycles per bit, bytes of a sample, bytes of an answer. The first sample is cut short and followed by
// a pause of as many cycles as the fourth argument says: it must be forgotten.
#include "Vtop.h"
#include "verilated.h"

#include <cstdio>
#include <cstdlib>

namespace {
Vtop top;
long period;

void tick() {
    top.clk_pin = 0;
    top.eval();
    top.clk_pin = 1;
    top.eval();
}
void hold(int level, long cycles) {
    top.rx = level;
    for (long k = 0; k < cycles; ++k) tick();
}
void send(int byte) {
    hold(0, period);
    for (int k = 0; k < 8; ++k) hold(byte >> k & 1, period);
    hold(1, period);
}
// -1 after a million silent cycles.
int receive() {
    for (long silent = 0; top.tx; ++silent) {
        if (silent == 1000000) return -1;
        tick();
    }
    hold(1, period / 2);
    int byte = 0;
    for (int k = 0; k < 8; ++k) {
        hold(1, period);
        byte |= top.tx << k;
    }
    hold(1, period);
    return top.tx ? byte : -1;
}
}  // namespace

int main(int, char** words) {
    period = std::atol(words[1]);
    const long in = std::atol(words[2]), out = std::atol(words[3]), pause = std::atol(words[4]);
    hold(1, 20000);  // the reset after configuration
    for (long k = 0; k + 1 < in; ++k) send(0x5a);
    hold(1, pause);
    for (int first; (first = std::getchar()) != EOF;) {
        send(first);
        for (long k = 1; k < in; ++k) send(std::getchar());
        for (long k = 0; k < out; ++k) {
            const int byte = receive();
            if (byte < 0) return 1;
            std::putchar(byte);
        }
    }
    return 0;
}
