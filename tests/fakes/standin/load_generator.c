/* A stand-in for Remora's load generator: open loop, latency from the time a transaction was due. */
#include "net.h"

static const double bounds[] = {0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10};
enum { BOUNDS = sizeof bounds / sizeof *bounds };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t buckets[BOUNDS + 1], done, sent, failed;
static double sum, squares, begun, updated, rate;
static char workload[64] = "Transfers";
static int server;

void print_metrics(FILE *out) {
    uint64_t below = 0;
    pthread_mutex_lock(&lock);
    fprintf(out, "# TYPE latency_s histogram\n");
    for (int i = 0; i <= BOUNDS; i++) {
        char bound[16] = "+Inf";
        if (i < BOUNDS) snprintf(bound, sizeof bound, "%g", bounds[i]);
        fprintf(out, "latency_s_bucket{workload=\"%s\",le=\"%s\"} %lu\n", workload, bound, (unsigned long)(below += buckets[i]));
    }
    fprintf(out, "latency_s_sum{workload=\"%s\"} %.9f\nlatency_s_count{workload=\"%s\"} %lu\n", workload, sum, workload, (unsigned long)done);
    fprintf(out, "# TYPE latency_squared_s counter\nlatency_squared_s{workload=\"%s\"} %.9f\n", workload, squares);
    fprintf(out, "# TYPE benchmark_duration counter\nbenchmark_duration %ld\n", done ? (long)(updated - begun) : 0L);
    fprintf(out, "# TYPE start_time_s gauge\nstart_time_s %.6f\n# TYPE last_update_s gauge\nlast_update_s %.6f\n", begun, updated);
    fprintf(out, "# TYPE submitted counter\nsubmitted %lu\n", (unsigned long)sent);
    if (failed) fprintf(out, "# TYPE errors counter\nerrors{error_type=\"send\"} %lu\n", (unsigned long)failed);
    pthread_mutex_unlock(&lock);
}

static void *take_answers(void *unused) {
    struct message m;
    (void)unused;
    while (take(server, &m)) {
        double at = now(), latency = at - (begun + m.sequence / rate);
        int i = 0;
        while (i < BOUNDS && latency > bounds[i]) i++;
        pthread_mutex_lock(&lock);
        buckets[i]++, done++, sum += latency, squares += latency * latency, updated = at;
        pthread_mutex_unlock(&lock);
    }
    fprintf(stderr, "info: the primary is gone\n"), exit(1);
    return NULL;
}

int main(int argc, char **argv) {
    const char *benchmark = option(argc, argv, "--benchmark-config");
    char text[32];
    int listener = listen_on(address(option(argc, argv, "--metrics-address")));
    if (!setting(benchmark, "load", text, sizeof text) || (rate = atof(text)) <= 0) die("no load");
    setting(benchmark, "workload", workload, sizeof workload);
    start(serve_metrics, &listener);
    server = reach(configured(option(argc, argv, "--validator-config"), "client_server_address"));
    fprintf(stderr, "info: %g tx/s of %s\n", rate, workload);
    begun = now();
    start(take_answers, NULL);
    for (uint64_t i = 0;; i++) {
        double due = begun + i / rate;
        struct timespec until = {(time_t)due, (long)((due - (time_t)due) * 1e9)};
        while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL) == EINTR) {}
        struct message m = {.sequence = i};
        int lost = send(server, &m, sizeof m, MSG_NOSIGNAL) < 0;
        pthread_mutex_lock(&lock);
        sent++, failed += lost;
        pthread_mutex_unlock(&lock);
    }
}
