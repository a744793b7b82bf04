//! Every operation of the API, a file a group.
//!
//! The list of all is [`operations`]; `tests/it/catalogue.rs` compares it with the description of the API.

pub mod activity;
pub mod allowed_recipients;
pub mod allowed_senders;
pub mod api_keys;
pub mod archive;
pub mod dedicated_ips;
pub mod domain;
pub mod email;
pub mod ip_allow_list;
pub mod ip_auth;
pub mod single_senders;
pub mod sms;
pub mod stats;
pub mod subaccount;
pub mod suppression;
pub mod template;
pub mod users;
pub mod webhook;

use super::operation::Operation;

/// All of them, in the order of the documentation.
pub fn operations() -> &'static [Operation] {
    OPERATIONS
}

const OPERATIONS: &[Operation] = &[
    email::SendEmail::OPERATION,
    email::SendMimeEmail::OPERATION,
    email::SendEmailBatch::OPERATION,
    email::SearchScheduledEmails::OPERATION,
    email::RemoveScheduledEmail::OPERATION,
    email::SearchEmails::OPERATION,
    activity::SearchActivity::OPERATION,
    allowed_senders::ViewAllowedSenders::OPERATION,
    allowed_senders::AddAllowedSenders::OPERATION,
    allowed_senders::RemoveAllowedSenders::OPERATION,
    allowed_senders::UpdateAllowedSenders::OPERATION,
    allowed_recipients::ViewAllowedRecipients::OPERATION,
    allowed_recipients::AddAllowedRecipients::OPERATION,
    allowed_recipients::RemoveAllowedRecipients::OPERATION,
    allowed_recipients::UpdateAllowedRecipients::OPERATION,
    users::ViewSmtpUsers::OPERATION,
    users::AddSmtpUser::OPERATION,
    users::EditSmtpUser::OPERATION,
    users::PatchSmtpUser::OPERATION,
    users::RemoveSmtpUser::OPERATION,
    domain::ViewDomains::OPERATION,
    domain::AddDomain::OPERATION,
    domain::VerifyDomain::OPERATION,
    domain::RemoveDomain::OPERATION,
    domain::EditTracking::OPERATION,
    domain::EditReturnpath::OPERATION,
    domain::EditDomainAccess::OPERATION,
    single_senders::ViewSingleSenders::OPERATION,
    single_senders::AddSingleSender::OPERATION,
    single_senders::RemoveSingleSender::OPERATION,
    stats::StatsBounces::OPERATION,
    stats::StatsCycle::OPERATION,
    stats::StatsHistory::OPERATION,
    stats::StatsSpam::OPERATION,
    stats::StatsUnsubs::OPERATION,
    stats::StatsSummary::OPERATION,
    archive::SearchArchive::OPERATION,
    archive::GetArchivedEmail::OPERATION,
    subaccount::SearchSubaccounts::OPERATION,
    subaccount::AddSubaccount::OPERATION,
    subaccount::EditSubaccount::OPERATION,
    subaccount::CloseSubaccount::OPERATION,
    subaccount::ReopenSubaccount::OPERATION,
    subaccount::ReinviteSubaccount::OPERATION,
    subaccount::SubaccountsUsage::OPERATION,
    subaccount::SubaccountSmsUsage::OPERATION,
    suppression::AddSuppression::OPERATION,
    suppression::RemoveSuppression::OPERATION,
    suppression::ViewSuppressions::OPERATION,
    ip_allow_list::SetIpAllowList::OPERATION,
    ip_allow_list::ViewIpAllowList::OPERATION,
    ip_allow_list::AddIpAllowList::OPERATION,
    ip_allow_list::EditIpAllowList::OPERATION,
    ip_allow_list::RemoveIpAllowList::OPERATION,
    ip_auth::ViewIpAuth::OPERATION,
    ip_auth::PatchIpAuth::OPERATION,
    ip_auth::RemoveIpAuth::OPERATION,
    dedicated_ips::ViewDedicatedIps::OPERATION,
    template::AddTemplate::OPERATION,
    template::EditTemplate::OPERATION,
    template::DeleteTemplate::OPERATION,
    template::SearchTemplates::OPERATION,
    template::ViewTemplate::OPERATION,
    webhook::AddWebhook::OPERATION,
    webhook::EditWebhook::OPERATION,
    webhook::RemoveWebhook::OPERATION,
    webhook::ViewWebhooks::OPERATION,
    api_keys::ViewApiKeys::OPERATION,
    api_keys::AddApiKey::OPERATION,
    api_keys::EditApiKey::OPERATION,
    api_keys::PatchApiKey::OPERATION,
    api_keys::RemoveApiKey::OPERATION,
    api_keys::ViewPermissions::OPERATION,
    sms::SendSms::OPERATION,
    sms::ViewSentSms::OPERATION,
    sms::ViewReceivedSms::OPERATION,
    sms::SmsSummary::OPERATION,
    api_keys::ListApiEndpoints::OPERATION,
];
