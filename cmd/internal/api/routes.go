package api

// Who may make a call. An analyst sees aggregates and pseudonyms only; the privacy role serves the
// rights of contacts; a marketer does everything but erase and hand out tokens.
var (
	anyone    = []Role{Admin, Marketer, Analyst, Privacy}
	personal  = []Role{Admin, Marketer, Privacy}
	aggregate = []Role{Admin, Marketer, Analyst}
	marketing = []Role{Admin, Marketer}
	duty      = []Role{Admin, Privacy}
	admins    = []Role{Admin}
)

var (
	paged     = []string{"cursor", "limit"}
	disclosed = []string{"identified", "ground"}
)

// routes are all calls, each with the roles that may make it.
var routes = []route{
	{method: "GET", path: "/healthz", handle: (*API).healthz, public: true},
	{method: "GET", path: "/readyz", handle: (*API).readyz, public: true},
	{method: "GET", path: "/metrics", handle: (*API).metrics, public: true},
	{method: "GET", path: "/api/openapi.json", handle: (*API).openAPI, public: true},

	{method: "GET", path: "/catalogue", roles: anyone, handle: (*API).catalogue},
	{method: "GET", path: "/companies", roles: anyone, handle: (*API).listCompanies, query: paged},
	{method: "POST", path: "/companies", roles: marketing, handle: (*API).createCompany},
	{method: "GET", path: "/companies/:slug", roles: anyone, handle: (*API).getCompany},
	{method: "PATCH", path: "/companies/:slug", roles: marketing, handle: (*API).patchCompany},
	{method: "GET", path: "/notices", roles: anyone, handle: (*API).listNotices, query: paged},
	{method: "POST", path: "/notices", roles: personal, handle: (*API).createNotice},
	{method: "GET", path: "/notices/yes-rates", roles: anyone, handle: (*API).yesRates},
	{method: "GET", path: "/notices/:version", roles: anyone, handle: (*API).getNotice},
	{method: "GET", path: "/sources", roles: anyone, handle: (*API).listSources, query: paged},
	{method: "POST", path: "/sources", roles: marketing, handle: (*API).createSource},
	{method: "GET", path: "/sources/:slug", roles: anyone, handle: (*API).getSource},
	{method: "POST", path: "/sources/:slug/recall", roles: personal, handle: (*API).recallSource},

	{method: "GET", path: "/contacts", roles: personal, handle: (*API).findContacts, query: []string{"email"}},
	{method: "POST", path: "/contacts", roles: personal, handle: (*API).createContact},
	{method: "GET", path: "/contacts/:id", roles: personal, handle: (*API).getContact},
	{method: "PATCH", path: "/contacts/:id", roles: personal, handle: (*API).patchContact},
	{method: "DELETE", path: "/contacts/:id", roles: duty, handle: (*API).deleteContact},
	{method: "POST", path: "/contacts/:id/consent", roles: personal, handle: (*API).recordConsent},
	{method: "GET", path: "/contacts/:id/consent", roles: personal, handle: (*API).listConsent, query: []string{"cursor", "limit", "at"}},
	{method: "GET", path: "/contacts/:id/timeline", roles: personal, handle: (*API).getTimeline, query: paged},
	{method: "GET", path: "/contacts/:id/export", roles: personal, handle: (*API).exportContact, query: []string{"ground", "format"}},
	{method: "POST", path: "/contacts/:id/erase", roles: duty, handle: (*API).eraseContact},

	{method: "GET", path: "/contacts/:id/receipt", roles: personal, handle: (*API).getReceipt},
	{method: "GET", path: "/contacts/:id/groups", roles: personal, handle: (*API).listGroups},
	{method: "PUT", path: "/contacts/:id/groups/:group", roles: personal, handle: (*API).addGroup},
	{method: "DELETE", path: "/contacts/:id/groups/:group", roles: personal, handle: (*API).removeGroup},

	{method: "GET", path: "/requests", roles: personal, handle: (*API).listRequests, query: []string{"cursor", "limit", "overdue", "status", "kind", "contact"}},
	{method: "POST", path: "/requests", roles: personal, handle: (*API).openRequest},
	{method: "GET", path: "/requests/:id", roles: personal, handle: (*API).getRequest},
	{method: "POST", path: "/requests/:id/acknowledge", roles: personal, handle: (*API).acknowledgeRequest},
	{method: "POST", path: "/requests/:id/extend", roles: duty, handle: (*API).extendRequest},
	{method: "POST", path: "/requests/:id/close", roles: duty, handle: (*API).closeRequest},
	{method: "GET", path: "/retention", roles: duty, handle: (*API).listRules},
	{method: "PUT", path: "/retention/:purpose", roles: duty, handle: (*API).setRule},
	{method: "POST", path: "/retention/run", roles: duty, handle: (*API).runRetention, stream: true},
	{method: "GET", path: "/retention/extensions", roles: duty, handle: (*API).listExtensions},
	{method: "POST", path: "/retention/extensions", roles: duty, handle: (*API).createExtension},
	{method: "DELETE", path: "/retention/extensions/:id", roles: duty, handle: (*API).endExtension},
	{method: "GET", path: "/holds", roles: duty, handle: (*API).listHolds},
	{method: "POST", path: "/holds", roles: duty, handle: (*API).placeHold},
	{method: "DELETE", path: "/holds/:id", roles: duty, handle: (*API).releaseHold},
	{method: "GET", path: "/register", roles: duty, handle: (*API).register, query: []string{"format"}},

	{method: "POST", path: "/imports", roles: marketing, handle: (*API).createImport, stream: true},
	{method: "GET", path: "/imports/:id", roles: marketing, handle: (*API).getImport},
	{method: "GET", path: "/imports/:id/rejects.csv", roles: marketing, handle: (*API).getRejects, stream: true},

	{method: "GET", path: "/segments", roles: aggregate, handle: (*API).listSegments, query: paged},
	{method: "POST", path: "/segments", roles: marketing, handle: (*API).createSegment},
	{method: "GET", path: "/segments/:id", roles: aggregate, handle: (*API).getSegment},
	{method: "GET", path: "/segments/:id/count", roles: aggregate, handle: (*API).countSegment},
	{method: "GET", path: "/segments/:id/report", roles: aggregate, handle: (*API).reportSegment},
	{method: "GET", path: "/segments/:id/export.csv", roles: aggregate, handle: (*API).exportCSV, query: disclosed, stream: true},
	{method: "GET", path: "/segments/:id/export.jsonl", roles: aggregate, handle: (*API).exportJSONL, query: disclosed, stream: true},
	{method: "GET", path: "/segments/:id/export.xlsx", roles: aggregate, handle: (*API).exportXLSX, query: disclosed, stream: true},

	{method: "GET", path: "/campaigns", roles: aggregate, handle: (*API).listCampaigns, query: paged},
	{method: "POST", path: "/campaigns", roles: marketing, handle: (*API).createCampaign},
	{method: "GET", path: "/campaigns/:id", roles: marketing, handle: (*API).getCampaign},
	{method: "GET", path: "/campaigns/:id/check", roles: marketing, handle: (*API).checkCampaign},
	{method: "GET", path: "/campaigns/:id/delivery", roles: marketing, handle: (*API).getDelivery},
	{method: "GET", path: "/campaigns/:id/messages", roles: marketing, handle: (*API).listMessages, query: []string{"cursor", "limit", "status"}},
	{method: "GET", path: "/campaigns/:id/links", roles: aggregate, handle: (*API).listLinks},
	{method: "PATCH", path: "/campaigns/:id/links/:position", roles: marketing, handle: (*API).correctLink},
	{method: "GET", path: "/campaigns/:id/stats", roles: aggregate, handle: (*API).statsJSON},
	{method: "GET", path: "/campaigns/:id/stats.csv", roles: aggregate, handle: (*API).statsCSV},
	{method: "POST", path: "/campaigns/:id/launch", roles: marketing, handle: (*API).launchCampaign},
	{method: "POST", path: "/campaigns/:id/pause", roles: marketing, handle: (*API).pauseCampaign},
	{method: "POST", path: "/campaigns/:id/resume", roles: marketing, handle: (*API).resumeCampaign},
	{method: "POST", path: "/campaigns/:id/cancel", roles: marketing, handle: (*API).cancelCampaign},
	{method: "GET", path: "/campaigns/:id/preview", roles: marketing, handle: (*API).previewCampaign, query: []string{"contact"}},
	{method: "POST", path: "/campaigns/:id/test", roles: marketing, handle: (*API).testCampaign},
	{method: "POST", path: "/campaigns/:id/resolve-unknown", roles: marketing, handle: (*API).resolveUnknown},

	{method: "GET", path: "/tokens", roles: admins, handle: (*API).listTokens, query: paged},
	{method: "POST", path: "/tokens", roles: admins, handle: (*API).createToken},
	{method: "DELETE", path: "/tokens/:id", roles: admins, handle: (*API).revokeToken},
	{method: "GET", path: "/audit", roles: duty, handle: (*API).listAudit, query: []string{"cursor", "limit", "actor", "action", "object"}},
}
