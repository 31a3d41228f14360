//! `AccessService`.

use super::unary;
use crate::v1::access_service_client::AccessServiceClient;

unary! { AccessServiceClient<_>:
    /// Grants a role.
    grant = grant(GrantRequest) -> GrantResponse;
    /// Takes a role back.
    revoke = revoke(RevokeRequest) -> RevokeResponse;
    /// Who may do what, as far as the caller may see.
    list_grants = list_grants(ListGrantsRequest) -> ListGrantsResponse;
    /// Who the caller is, and what was granted to it.
    who_am_i = who_am_i(WhoAmIRequest) -> WhoAmIResponse;
}
