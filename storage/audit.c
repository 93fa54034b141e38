/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/audit.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#if __BYTE_ORDER != __LITTLE_ENDIAN
#error "LMDB writes in the machine's order; this reads little endian"
#endif

enum {
	PAGE_HEADER = 16, /* u64 number, u16, u16 flags, u16 lower, u16 upper or u32 pages */
	PAGE_MIN = 4096,
	PAGE_MAX = 65536,
	META_PAGES = 2,
	DB_BYTES = 48,
	NODE_HEADER = 8, /* u16 low, u16 high, u16 flags, u16 key length */
	KEY_MAX = 511,
	DEPTH_MAX = 16
};
enum { P_BRANCH = 1, P_LEAF = 2, P_OVERFLOW = 4, P_META = 8 };
enum { NODE_BIG = 1, NODE_TREE = 2 };
enum { DB_INTEGER_KEYS = 8, DB_NO_SUBDIR = 0x4000 };

static uint64_t get(const uint8_t *p, unsigned bytes)
{
	uint64_t v = 0;
	memcpy(&v, p, bytes);
	return v;
}

/* A tree's record: u32, u16 flags, u16 depth, u64 branch, leaf and overflow pages, entries, root.
 */
struct db {
	unsigned flags, depth;
	uint64_t branches, leaves, overflows, entries, root;
};

static struct db db_from(const uint8_t *p)
{
	return (struct db){(unsigned)get(p + 4, 2), (unsigned)get(p + 6, 2), get(p + 8, 8),
			   get(p + 16, 8),          get(p + 24, 8),          get(p + 32, 8),
			   get(p + 40, 8)};
}

struct node {
	const uint8_t *key, *data;
	uint64_t number; /* of a leaf's data: its length; of a branch: the page below */
	uint32_t key_len;
	unsigned flags;
};

struct walk {
	struct audit *audit;
	const char *path;
	int fd;
	bool values;
	uint64_t pages, txn;
	uint8_t meta[AUDIT_META_BYTES]; /* the one that counts */
	uint8_t *seen;                  /* a bit for each page */
	struct db named[AUDIT_TREES];
	struct tree {
		const char *name;
		struct db db, found;
		/* the key before, which the next one must be above, or at least not below */
		uint8_t last[KEY_MAX];
		uint32_t last_len;
		bool any, may_equal;
		uint64_t first_id, last_id;
		int (*on_value)(struct walk *w, const struct node *n, uint64_t at_page);
		uint8_t *page; /* DEPTH_MAX of them */
	} * tree;
};

static int bad(const struct walk *w, const char *what, uint64_t page)
{
	log_error("file is damaged", "path=%s tree=%s what=\"%s\" page=%llu", w->path,
		  w->tree != NULL ? w->tree->name : "-", what, (unsigned long long)page);
	return AUDIT_BAD;
}

static int read_at(const struct walk *w, void *to, size_t len, uint64_t page)
{
	ssize_t n = pread(w->fd, to, len, (off_t)(page * w->audit->page_bytes));
	return n == (ssize_t)len ? 0 : bad(w, "cannot be read", page);
}

/* Says that these pages are used, once. */
static int claim(struct walk *w, uint64_t page, uint64_t n)
{
	if (page < META_PAGES || page >= w->pages || n > w->pages - page)
		return bad(w, "is outside of the file", page);
	for (; n != 0; n--, page++) {
		if (w->seen[page / 8] & (1u << page % 8))
			return bad(w, "is used twice", page);
		w->seen[page / 8] |= (uint8_t)(1u << page % 8);
	}
	return 0;
}

static uint64_t value_pages(const struct walk *w, uint64_t len)
{
	return (PAGE_HEADER + len + w->audit->page_bytes - 1) / w->audit->page_bytes;
}

static int claim_value(struct walk *w, const struct node *n, uint64_t page)
{
	uint8_t head[PAGE_HEADER];
	uint64_t pages = value_pages(w, n->number);
	int rc = claim(w, page, pages);
	w->tree->found.overflows += pages;
	if (rc != 0 || !w->values)
		return rc;
	rc = read_at(w, head, sizeof(head), page);
	if (rc == 0 &&
	    (get(head, 8) != page || get(head + 10, 2) != P_OVERFLOW || get(head + 12, 4) != pages))
		rc = bad(w, "is not the value's", page);
	return rc;
}

static int compare(const struct tree *t, const uint8_t *key, uint32_t len)
{
	if (t->db.flags & DB_INTEGER_KEYS) {
		uint64_t a = get(key, 8), b = get(t->last, 8);
		return a < b ? -1 : a > b;
	}
	int diff = memcmp(key, t->last, len < t->last_len ? len : t->last_len);
	return diff != 0 ? diff : (len > t->last_len) - (len < t->last_len);
}

/* Keys ascend through the whole tree, those of branches between those of leaves. */
static bool in_order(struct tree *t, const struct node *n, bool leaf)
{
	if (n->key_len == 0 || n->key_len > KEY_MAX ||
	    ((t->db.flags & DB_INTEGER_KEYS) && n->key_len != 8))
		return false;
	int diff = t->any ? compare(t, n->key, n->key_len) : 1;
	if (diff < 0 || (diff == 0 && !t->may_equal))
		return false;
	memcpy(t->last, n->key, n->key_len);
	t->last_len = n->key_len;
	t->any = true;
	t->may_equal = !leaf;
	return true;
}

/* Says that these bytes of a page are used, once; a bit is two of them, for nodes are even. */
static bool take(uint8_t *taken, uint32_t at, uint32_t len)
{
	for (uint32_t k = at / 2, end = (at + len) / 2, n; k < end; k += n) {
		bool whole = k % 8 == 0 && end - k >= 8; /* eight at once: pages are many */
		uint8_t bits = (uint8_t)(whole ? 0xffu : 1u << k % 8);
		if (taken[k / 8] & bits)
			return false;
		taken[k / 8] = (uint8_t)(taken[k / 8] | bits);
		n = whole ? 8 : 1;
	}
	return true;
}

/* The i-th node and which bytes it takes; false if it does not fit into the page. */
static bool node_at(const uint8_t *page, unsigned i, uint32_t page_bytes, struct node *n,
		    uint32_t *at, uint32_t *node_bytes)
{
	uint32_t upper = (uint32_t)get(page + 14, 2);
	bool leaf = get(page + 10, 2) == P_LEAF;
	*at = (uint32_t)get(page + PAGE_HEADER + (size_t)2 * i, 2);
	if (*at < upper || *at % 2 != 0 || *at > page_bytes - NODE_HEADER)
		return false;
	const uint8_t *p = page + *at;
	n->flags = (unsigned)get(p + 4, 2);
	n->key_len = (uint32_t)get(p + 6, 2);
	n->key = p + NODE_HEADER;
	n->data = n->key + n->key_len;
	n->number = get(p, 4);
	uint64_t len = NODE_HEADER + n->key_len;
	if (!leaf)
		n->number |= (uint64_t)n->flags << 32;
	else
		len += n->flags & NODE_BIG ? 8 : n->number;
	len = (len + 1) & ~1ull;
	*node_bytes = (uint32_t)len;
	return len <= page_bytes - *at;
}

/* Whether the page has as many nodes as it says, and they fill exactly what it says. */
static bool layout(const uint8_t *page, uint32_t page_bytes, unsigned *n_nodes)
{
	uint8_t taken[PAGE_MAX / 16];
	uint32_t lower = (uint32_t)get(page + 12, 2), upper = (uint32_t)get(page + 14, 2);
	uint32_t used = 0, at, len;
	struct node n;
	memset(taken, 0, page_bytes / 16);
	if (lower < PAGE_HEADER || lower % 2 != 0 || lower > upper || upper > page_bytes)
		return false;
	*n_nodes = (lower - PAGE_HEADER) / 2;
	for (unsigned i = 0; i < *n_nodes; i++) {
		if (!node_at(page, i, page_bytes, &n, &at, &len) || !take(taken, at, len))
			return false;
		used += len;
	}
	return used == page_bytes - upper;
}

static int take_leaf_node(struct walk *w, const struct node *n, uint64_t page)
{
	struct tree *t = w->tree;
	if (!in_order(t, n, true))
		return bad(w, "has a key out of order", page);
	if (t->db.flags & DB_INTEGER_KEYS) {
		t->last_id = get(n->key, 8);
		if (t->found.entries == 0)
			t->first_id = t->last_id;
	}
	t->found.entries++;
	if (n->flags & ~(unsigned)(NODE_BIG | NODE_TREE))
		return bad(w, "has a node of no kind that is used here", page);
	if (n->flags & NODE_BIG) {
		int rc = claim_value(w, n, get(n->data, 8));
		if (rc != 0)
			return rc;
	}
	return t->on_value != NULL    ? t->on_value(w, n, page)
	       : n->flags & NODE_TREE ? bad(w, "has a tree within a tree", page)
				      : 0;
}

static int walk_page(struct walk *w, uint64_t page, unsigned level)
{
	struct tree *t = w->tree;
	uint32_t page_bytes = w->audit->page_bytes, at, len;
	uint8_t *bytes = t->page + (size_t)level * page_bytes;
	bool leaf = level + 1 == t->db.depth;
	unsigned nodes;
	int rc = claim(w, page, 1);
	if (rc == 0)
		rc = read_at(w, bytes, page_bytes, page);
	if (rc != 0)
		return rc;
	*(leaf ? &t->found.leaves : &t->found.branches) += 1;
	if (get(bytes, 8) != page || get(bytes + 10, 2) != (leaf ? P_LEAF : P_BRANCH) ||
	    !layout(bytes, page_bytes, &nodes) || nodes == 0)
		return bad(w, "is not the tree's", page);
	for (unsigned i = 0; i < nodes && rc == 0; i++) {
		struct node n;
		if (!node_at(bytes, i, page_bytes, &n, &at, &len))
			return bad(w, "is not the tree's", page);
		if (leaf)
			rc = take_leaf_node(w, &n, page);
		else if (i != 0 && !in_order(t, &n, false)) /* the first has no key */
			rc = bad(w, "has a branch out of order", page);
		else
			rc = walk_page(w, n.number, level + 1); /* DEPTH_MAX bounds it */
	}
	return rc;
}

static int walk_from_root(struct walk *w, struct tree *t)
{
	int rc = 0;
	if (t->db.depth > DEPTH_MAX || (t->db.depth == 0) != (t->db.root == UINT64_MAX))
		return bad(w, "its depth is not possible", t->db.root);
	t->page = malloc((size_t)(t->db.depth + 1) * w->audit->page_bytes);
	if (t->page == NULL)
		return fail(-ENOMEM, "storage: no memory to look through %s", w->path);
	if (t->db.depth != 0)
		rc = walk_page(w, t->db.root, 0);
	free(t->page);
	if (rc == 0 && (t->found.branches != t->db.branches || t->found.leaves != t->db.leaves ||
			t->found.overflows != t->db.overflows || t->found.entries != t->db.entries))
		rc = bad(w, "its counts are wrong", t->db.root);
	return rc;
}

static int walk_tree(struct walk *w, struct tree *t)
{
	w->tree = t;
	int rc = walk_from_root(w, t);
	w->tree = NULL;
	return rc;
}

/* A value of the free list: how many pages, and which. */
static int take_free(struct walk *w, const struct node *n, uint64_t page)
{
	uint64_t len = n->number;
	int rc = 0;
	if (get(n->key, 8) > w->txn || len < 8 || len % 8 != 0 || (n->flags & NODE_TREE) ||
	    len / 8 > w->pages + 1)
		return bad(w, "has a wrong list of free pages", page);
	uint8_t *list = malloc(len + PAGE_HEADER);
	if (list == NULL)
		return fail(-ENOMEM, "storage: no memory to look through %s", w->path);
	if (n->flags & NODE_BIG)
		rc = read_at(w, list, len + PAGE_HEADER, get(n->data, 8));
	else
		memcpy(list + PAGE_HEADER, n->data, len);
	const uint8_t *ids = list + PAGE_HEADER;
	uint64_t count = rc == 0 ? get(ids, 8) : 0, before = UINT64_MAX;
	if (count > len / 8 - 1)
		rc = bad(w, "has a wrong list of free pages", page);
	for (uint64_t i = 1; i <= count && rc == 0; i++) {
		uint64_t id = get(ids + i * 8, 8);
		rc = id < before ? claim(w, id, 1) : bad(w, "has free pages out of order", page);
		before = id;
	}
	free(list);
	return rc;
}

static int take_name(struct walk *w, const struct node *n, uint64_t page)
{
	struct audit *a = w->audit;
	if (n->flags != NODE_TREE || n->number != DB_BYTES || a->n_trees == AUDIT_TREES ||
	    n->key_len >= sizeof(a->tree[0].name))
		return bad(w, "names what is no tree of ours", page);
	struct db db = db_from(n->data);
	if ((db.flags & ~(unsigned)DB_INTEGER_KEYS) != 0)
		return bad(w, "names a tree that is not of our kind", page);
	struct audit_tree *t = &a->tree[a->n_trees];
	memset(t, 0, sizeof(*t));
	memcpy(t->name, n->key, n->key_len);
	t->integer = (db.flags & DB_INTEGER_KEYS) != 0;
	w->named[a->n_trees++] = db;
	return 0;
}

uint32_t audit_meta(const uint8_t *page)
{
	uint32_t page_bytes = (uint32_t)get(page + 40, 4);
	bool ours = get(page + 10, 2) == P_META && get(page + 16, 4) == 0xbeefc0de &&
		    get(page + 20, 4) == 1 && page_bytes >= PAGE_MIN && page_bytes <= PAGE_MAX &&
		    (page_bytes & (page_bytes - 1)) == 0;
	return ours ? page_bytes : 0;
}

/* Two transactions in a row write to the two meta pages in turn, so the pages are one apart; a
 * commit that did not get through leaves it so. Gives the one that counts. */
static int read_meta(struct walk *w)
{
	struct audit *a = w->audit;
	uint8_t page[META_PAGES][AUDIT_META_BYTES];
	struct stat st;
	a->page_bytes = PAGE_MIN;
	if (fstat(w->fd, &st) != 0)
		return fail(-errno, "storage: cannot look at %s", w->path);
	a->file_bytes = (uint64_t)st.st_size;
	if (read_at(w, page[0], AUDIT_META_BYTES, 0) != 0 || audit_meta(page[0]) == 0)
		return bad(w, "is no meta page", 0);
	a->page_bytes = audit_meta(page[0]);
	if (read_at(w, page[1], AUDIT_META_BYTES, 1) != 0 || audit_meta(page[1]) != a->page_bytes)
		return bad(w, "is no meta page", 1);
	uint64_t txn[META_PAGES] = {get(page[0] + 144, 8), get(page[1] + 144, 8)};
	bool fresh = txn[0] == 0 && txn[1] == 0;
	if (!fresh && (txn[0] % 2 != 0 || (txn[0] + 1 != txn[1] && txn[1] + 1 != txn[0])))
		return bad(w, "does not follow on the other meta page", txn[0] < txn[1]);
	memcpy(w->meta, page[txn[0] < txn[1]], AUDIT_META_BYTES);
	w->txn = get(w->meta + 144, 8);
	w->pages = get(w->meta + 136, 8) + 1;
	if (w->pages < META_PAGES || a->file_bytes / a->page_bytes < w->pages)
		return bad(w, "is the last one and beyond the file's end", w->pages - 1);
	return 0;
}

static int walk_all(struct walk *w)
{
	struct audit *a = w->audit;
	struct tree free_list = {
	    .name = "free", .db = db_from(w->meta + 40), .on_value = take_free};
	struct tree names = {.name = "main", .db = db_from(w->meta + 88), .on_value = take_name};
	if ((free_list.db.flags & ~(unsigned)DB_NO_SUBDIR) != DB_INTEGER_KEYS ||
	    names.db.flags != 0)
		return bad(w, "has wrong flags", w->txn % 2);
	int rc = walk_tree(w, &free_list);
	if (rc == 0)
		rc = walk_tree(w, &names);
	for (unsigned i = 0; i < a->n_trees && rc == 0; i++) {
		struct tree t = {.name = a->tree[i].name, .db = w->named[i]};
		rc = walk_tree(w, &t);
		a->tree[i].entries = t.found.entries;
		a->tree[i].first = t.first_id;
		a->tree[i].last = t.last_id;
	}
	for (uint64_t p = META_PAGES; p < w->pages && rc == 0; p++)
		a->orphans += !(w->seen[p / 8] & (1u << p % 8));
	return rc;
}

int audit_file(struct audit *a, const char *path, bool values)
{
	struct walk w = {.audit = a, .path = path, .values = values};
	memset(a, 0, sizeof(*a));
	w.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (w.fd < 0)
		return fail(-errno, "storage: cannot open %s", path);
	int rc = read_meta(&w);
	if (rc == 0) {
		w.seen = calloc(w.pages / 8 + 1, 1);
		rc = w.seen != NULL ? walk_all(&w)
				    : fail(-ENOMEM, "storage: no memory to look through %s", path);
	}
	free(w.seen);
	close(w.fd);
	return rc;
}

const struct audit_tree *audit_tree(const struct audit *a, const char *name)
{
	for (unsigned i = 0; i < a->n_trees; i++)
		if (strcmp(a->tree[i].name, name) == 0)
			return &a->tree[i];
	return NULL;
}
