/* A stand-in for Remora's node: the primary gives each transaction to a proxy and answers when it comes back. */
#include "net.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int clients[256], proxies[256], client_count, proxy_count;
static uint64_t taken, next_proxy;
static double started;

void print_metrics(FILE *out) {
    pthread_mutex_lock(&lock);
    fprintf(out, "# TYPE transactions counter\ntransactions %lu\n# TYPE start_time_s gauge\nstart_time_s %.6f\n",
            (unsigned long)taken, started);
    fprintf(out, "# TYPE proxies gauge\nproxies %d\n", proxy_count);
    pthread_mutex_unlock(&lock);
}

static void *from_proxy(void *argument) {
    int fd = *(int *)argument;
    struct message m;
    while (take(fd, &m))
        if (send(clients[m.client], &m, sizeof m, MSG_NOSIGNAL) < 0) fprintf(stderr, "error: a client is gone\n");
    fprintf(stderr, "info: a proxy is gone\n"), exit(1);
    return NULL;
}

static void *from_client(void *argument) {
    int slot = (int)((int *)argument - clients);
    struct message m;
    while (take(clients[slot], &m)) {
        m.client = slot;
        pthread_mutex_lock(&lock);
        taken++;
        int to = proxy_count ? proxies[next_proxy++ % proxy_count] : clients[slot];
        if (send(to, &m, sizeof m, MSG_NOSIGNAL) < 0) fprintf(stderr, "error: cannot send\n");
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void *accept_proxies(void *argument) {
    int listener = *(int *)argument;
    for (;;) {
        int fd = accept(listener, NULL, NULL), yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        pthread_mutex_lock(&lock);
        proxies[proxy_count] = fd;
        start(from_proxy, &proxies[proxy_count++]);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void primary(const char *config, const char *binding) {
    struct sockaddr_in proxy_side = configured(config, "proxy_server_address");
    struct sockaddr_in client_side = configured(config, "client_server_address");
    inet_pton(AF_INET, binding, &proxy_side.sin_addr);
    inet_pton(AF_INET, binding, &client_side.sin_addr);
    int proxy_listener = listen_on(proxy_side), client_listener = listen_on(client_side);
    start(accept_proxies, &proxy_listener);
    for (;;) {
        int fd = accept(client_listener, NULL, NULL), yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        clients[client_count] = fd;
        start(from_client, &clients[client_count++]);
    }
}

static void proxy(const char *config) {
    int fd = reach(configured(config, "proxy_server_address"));
    struct message m;
    while (take(fd, &m)) {
        pthread_mutex_lock(&lock);
        taken++;
        pthread_mutex_unlock(&lock);
        if (send(fd, &m, sizeof m, MSG_NOSIGNAL) < 0) break;
    }
    fprintf(stderr, "info: the primary is gone\n"), exit(1);
}

int main(int argc, char **argv) {
    const char *config = option(argc, argv, "--validator-config"), *binding = option(argc, argv, "--binding-address");
    struct sockaddr_in metrics = configured(config, "metrics_address");
    char load[32];
    if (!setting(option(argc, argv, "--benchmark-config"), "load", load, sizeof load)) die("no load");
    started = now();
    inet_pton(AF_INET, binding, &metrics.sin_addr);
    int listener = listen_on(metrics);
    start(serve_metrics, &listener);
    fprintf(stderr, "info: %s\n", argv[argc - 1]);
    if (!strcmp(argv[argc - 1], "primary")) primary(config, binding);
    else if (argc > 2 && !strcmp(argv[argc - 2], "proxy")) proxy(config);
    fprintf(stderr, "error: say primary, or proxy ID\n");
    return 2;
}
