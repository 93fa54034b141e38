/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/clients.h"

#include "conf/section.h"

static void read_client(void *into, const struct node *item, struct report *r)
{
	struct conf_client *c = into;
	c->at = (struct conf_place){item->at.line, item->at.column};
	section_read("clients[]", item, c, r);
	if (item->kind != NODE_MAP || r->no_memory)
		return;
	if (node_child(item, "name") == NULL)
		report_fault(r, item->at, "clients[].name is missing");
	if (*c->token_file == '\0' && *c->certificate_subject == '\0' &&
	    *c->certificate_san == '\0')
		report_fault(r, item->at,
			     "clients[]: wanted what it is known by: token.file, "
			     "certificate.subject or certificate.san");
}

static void check_names(const struct conf *c, struct report *r)
{
	for (size_t i = 0; i < c->n_clients; i++)
		for (size_t k = 0; k < i; k++)
			if (*c->clients[i].name != '\0' &&
			    strcmp(c->clients[i].name, c->clients[k].name) == 0)
				report_fault(
				    r,
				    (struct place){c->clients[i].at.line, c->clients[i].at.column},
				    "clients[].name: %s is there twice", c->clients[i].name);
}

static bool takes_certificates(const struct conf *c)
{
	return *c->grpc.tls.ca_file != '\0' || *c->http.tls.ca_file != '\0';
}

/* What would look like safety and be none. */
static void warn(const struct conf *c, const struct node *list, struct report *r)
{
	if (c->n_clients != 0 && c->identity == IDENTITY_OFF)
		report_warning(r, list->at,
			       "clients: nobody looks at them while identity.policy is off");
	for (size_t i = 0; i < c->n_clients && !takes_certificates(c); i++) {
		const struct conf_client *client = &c->clients[i];
		if (*client->certificate_subject != '\0' || *client->certificate_san != '\0')
			report_warning(r, (struct place){client->at.line, client->at.column},
				       "clients[].certificate: no receiver asks for certificates: "
				       "say receivers.otlp_grpc.tls.client_ca_file");
	}
}

void clients_read(struct conf *c, const struct node *root, struct report *r)
{
	const struct node *list = node_child(root, "clients");
	const struct node *policy = node_child(node_child(root, "identity"), "policy");
	list_read(c, "clients", list, read_client, r);
	if (r->no_memory)
		return;
	check_names(c, r);
	warn(c, list, r);
	if (c->identity == IDENTITY_REQUIRE && c->n_clients == 0)
		report_fault(r, policy->at,
			     "identity.policy: require, and no clients: nothing would be taken");
}
