/* A node that answers from memory: eth_chainId, eth_getBlockByNumber (alone and in batches) and eth_getLogs of any range or block.
 *
 *     canned_node FILE     prints the port that it listens on at 127.0.0.1; ends with its parent, when its input closes
 *
 * FILE has the chain id on its first line and then two lines for each block from 0 on: the block as JSON, and its logs as
 * JSON, comma between them, without the brackets. Filters are not looked at: all logs are what the bench asks for. It reads
 * the requests of the bench's own clients, no others.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include <unistd.h>

struct text {
    char *at;
    size_t length;
};

static struct text chain_id, *headers, *logs;
static long blocks;

static struct text read_line(FILE *file) {
    struct text line = {NULL, 0};
    size_t room = 0;
    ssize_t length = getline(&line.at, &room, file);
    if (length > 0 && line.at[length - 1] == '\n') length--;
    line.length = length > 0 ? (size_t)length : 0;
    return line;
}

static void load(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(1);
    }
    chain_id = read_line(file);
    for (long room = 0;; blocks++) {
        if (blocks == room) {
            room = room ? 2 * room : 1024;
            headers = realloc(headers, room * sizeof *headers);
            logs = realloc(logs, room * sizeof *logs);
        }
        headers[blocks] = read_line(file);
        if (!headers[blocks].length) break;
        logs[blocks] = read_line(file);
    }
    fclose(file);
}

/* What is to be sent: pieces of other texts, and a little of its own. */
struct answer {
    struct iovec *pieces;
    int count, room;
    char *own;
    size_t own_length, length;
};

static void add(struct answer *answer, const char *text, size_t length) {
    if (answer->count == answer->room) {
        answer->room = answer->room ? 2 * answer->room : 64;
        answer->pieces = realloc(answer->pieces, answer->room * sizeof *answer->pieces);
    }
    answer->pieces[answer->count++] = (struct iovec){(char *)text, length};
    answer->length += length;
}

static void add_text(struct answer *answer, const char *text) { add(answer, text, strlen(text)); }

static void add_own(struct answer *answer, const char *format, long number) {
    char *start = answer->own + answer->own_length;
    size_t length = (size_t)sprintf(start, format, number);
    answer->own_length += length;
    add(answer, start, length);
}

static long block_number(const char *text, const char *key) {
    const char *found = strstr(text, key);
    if (!found) return -1;
    found = strchr(found + strlen(key) + 1, '"') + 1;
    return strncmp(found, "0x", 2) ? blocks - 1 : strtol(found, NULL, 16); /* a tag: the newest */
}

/* The block with the hash that stands after `text`: the newest ones are asked for by hash, so the search begins there. */
static long block_of(const char *text) {
    const char *hash = strstr(text, "\"0x");
    for (long number = blocks - 1; hash && number >= 0; number--)
        if (memmem(headers[number].at, headers[number].length < 128 ? headers[number].length : 128, hash, 68)) return number;
    return blocks;
}

static void add_logs(struct answer *answer, long first, long last) {
    const char *before = "[";
    for (long number = first < 0 ? 0 : first; number <= last && number < blocks; number++) {
        if (!logs[number].length) continue;
        add_text(answer, before);
        add(answer, logs[number].at, logs[number].length);
        before = ",";
    }
    add_text(answer, *before == '[' ? "[]" : "]");
}

/* Where the JSON object at `text` ends. */
static char *end_of(char *text) {
    for (int depth = 0; *text; text++) {
        depth += (*text == '{') - (*text == '}');
        if (*text == '}' && !depth) return text;
    }
    return NULL;
}

/* Answers the request that is the whole of `text`. */
static void answer_one(struct answer *answer, const char *text) {
    const char *id = strstr(text, "\"id\""), *method = strstr(text, "\"method\""), *params = strstr(text, "\"params\"");
    if (!id || !method || !params) return;
    method = strchr(method + 8, '"') + 1;
    add_own(answer, "{\"jsonrpc\":\"2.0\",\"id\":%ld,\"result\":", strtol(strpbrk(id, "0123456789"), NULL, 10));
    if (!strncmp(method, "eth_getLogs", 11)) {
        const char *hash = strstr(params, "\"blockHash\"");
        long of = hash ? block_of(hash + 11) : 0;
        if (hash) add_logs(answer, of, of);
        else add_logs(answer, block_number(params, "\"fromBlock\""), block_number(params, "\"toBlock\""));
    } else if (!strncmp(method, "eth_getBlockByNumber", 20)) {
        long number = block_number(params, "\"params\"");
        if (number < blocks) add(answer, headers[number].at, headers[number].length);
        else add_text(answer, "null");
    } else {
        add(answer, chain_id.at, chain_id.length);
    }
    add_text(answer, "}");
}

static int send_all(int client, struct answer *answer) {
    for (int at = 0; at < answer->count;) {
        int count = answer->count - at < 512 ? answer->count - at : 512;
        ssize_t sent = writev(client, answer->pieces + at, count);
        if (sent <= 0) return -1;
        while (at < answer->count && (size_t)sent >= answer->pieces[at].iov_len) sent -= answer->pieces[at++].iov_len;
        if (at < answer->count) {
            answer->pieces[at].iov_base = (char *)answer->pieces[at].iov_base + sent;
            answer->pieces[at].iov_len -= sent;
        }
    }
    return 0;
}

static int answer_request(int client, char *body, size_t length) {
    char head[160];
    struct answer answer = {0};
    answer.own = malloc(length * 2 + 256); /* an id takes more room in its request than twice what it needs here */
    add(&answer, head, 0);
    int batch = *body == '[';
    const char *before = batch ? "[" : "";
    for (char *next = strchr(body, '{'), *end; next && (end = end_of(next)); next = strchr(end + 1, '{')) {
        *end = 0;
        add_text(&answer, before);
        before = ",";
        answer_one(&answer, next);
    }
    if (batch) add_text(&answer, "]");
    size_t whole = answer.length;
    answer.pieces[0].iov_len = (size_t)sprintf(
        head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", whole);
    int failed = send_all(client, &answer);
    free(answer.pieces);
    free(answer.own);
    return failed;
}

static void *serve(void *argument) {
    int client = (int)(long)argument;
    size_t room = 1 << 16, have = 0;
    char *request = malloc(room + 1);
    for (;;) {
        ssize_t got = read(client, request + have, room - have);
        if (got <= 0) break;
        have += (size_t)got;
        request[have] = 0;
        char *end = strstr(request, "\r\n\r\n");
        if (!end) continue;
        char *stated = strcasestr(request, "content-length:");
        size_t length = stated ? strtoul(stated + 15, NULL, 10) : 0, whole = (size_t)(end + 4 - request) + length;
        if (whole > room) request = realloc(request, (room = whole) + 1);
        if (have < whole) continue;
        if (answer_request(client, strstr(request, "\r\n\r\n") + 4, length)) break;
        have = 0; /* no client here sends the next request before it has the answer */
    }
    free(request);
    close(client);
    return NULL;
}

static void *end_with_parent(void *unused) {
    char byte;
    while (read(0, &byte, 1) > 0) continue;
    exit(0);
    return unused;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    load(arguments[1]);
    int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof place;
    if (bind(server, (struct sockaddr *)&place, size) || listen(server, 64)) return 1;
    getsockname(server, (struct sockaddr *)&place, &size);
    printf("%d\n", ntohs(place.sin_port));
    fflush(stdout);
    pthread_t thread;
    pthread_create(&thread, NULL, end_with_parent, NULL);
    for (;;) {
        int client = accept(server, NULL, NULL);
        if (client < 0) continue;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        pthread_create(&thread, NULL, serve, (void *)(long)client);
        pthread_detach(thread);
    }
}
