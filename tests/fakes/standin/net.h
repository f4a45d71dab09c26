/* What both programs share: configuration, sockets, metrics over HTTP. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct message {
    uint32_t client, unused;
    uint64_t sequence;
};

static void die(const char *what) {
    fprintf(stderr, "panic: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

/* The value of an option of the command line, such as --load; ends the program where it must be there and is not. */
static const char *option(int argc, char **argv, const char *name) {
    for (int i = 1; i + 1 < argc; i++)
        if (!strcmp(argv[i], name)) return argv[i + 1];
    fprintf(stderr, "error: %s is missing\n", name);
    exit(2);
}

/* The scalar of the first line `key: value` of a YAML file, at any depth; 0 if there is none. */
static int setting(const char *path, const char *key, char *value, size_t size) {
    char line[512];
    FILE *file = fopen(path, "r");
    if (!file) die(path);
    int found = 0;
    while (!found && fgets(line, sizeof line, file)) {
        char *text = line + strspn(line, " -");
        size_t length = strlen(key);
        if (strncmp(text, key, length) || text[length] != ':') continue;
        text += length + 1;
        text += strspn(text, " '\"");
        text[strcspn(text, " '\"#\r\n")] = 0;
        snprintf(value, size, "%s", text);
        found = *text != 0;
    }
    fclose(file);
    return found;
}

static struct sockaddr_in address(const char *text) { /* IPV4:PORT */
    struct sockaddr_in found = {.sin_family = AF_INET};
    char host[64];
    int port;
    if (sscanf(text, "%63[^:]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &found.sin_addr) != 1) {
        fprintf(stderr, "error: %s is no address, write IPV4:PORT\n", text);
        exit(2);
    }
    found.sin_port = htons(port);
    return found;
}

static struct sockaddr_in configured(const char *path, const char *key) {
    char text[128];
    if (!setting(path, key, text, sizeof text)) {
        fprintf(stderr, "error: %s does not set %s\n", path, key);
        exit(2);
    }
    return address(text);
}

static int listen_on(struct sockaddr_in where) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (void *)&where, sizeof where) || listen(fd, 64)) die("cannot listen");
    return fd;
}

static int reach(struct sockaddr_in where) { /* tries for ten seconds */
    for (int i = 0; i < 200; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (!connect(fd, (void *)&where, sizeof where)) return fd;
        close(fd);
        usleep(50000);
    }
    die("cannot connect");
    return -1;
}

static int take(int fd, struct message *m) { return recv(fd, m, sizeof *m, MSG_WAITALL) == sizeof *m; }

static void *serve_metrics(void *argument) {
    extern void print_metrics(FILE *);
    int listener = *(int *)argument;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char request[2048], *text;
        size_t size;
        if (fd < 0) continue;
        if (recv(fd, request, sizeof request, 0) > 0) {
            FILE *page = open_memstream(&text, &size);
            print_metrics(page);
            fclose(page);
            dprintf(fd, "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %zu\r\n\r\n", size);
            if (write(fd, text, size) < 0) perror("metrics");
            free(text);
        }
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    return NULL;
}

static void start(void *(*work)(void *), void *argument) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, argument)) die("cannot start a thread");
    pthread_detach(thread);
}
