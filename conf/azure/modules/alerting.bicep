// Whom alerts call. Action groups of their own, so that only the rule for confirmed drift reaches the webhook that starts retrainings.

param location string
param prefix string
param logsWorkspaceId string
param eventHubsNamespaceId string
param predictionsHub string

@description('Where people are paged.')
param pageEmail string

@description('Whom broken data and changed labels call.')
param dataOwnerEmail string

@description('The public address of `pegel webhook`, https.')
param webhookUri string

@description('Object id of the application registration that the webhook stands behind.')
param webhookApplicationObjectId string

@description('Identifier URI of that registration, api://…')
param webhookIdentifierUri string

@description('How often the log rules look.')
@allowed([
  'PT1M'
  'PT5M'
])
param evaluationFrequency string = 'PT5M'

// The latest row of an incident may be old: the rules look back as far as the service lets them.
var lookBack = 'P2D'
var incidentDimensions = [
  {
    name: 'model'
    operator: 'Include'
    values: [
      '*'
    ]
  }
  {
    name: 'incident_id'
    operator: 'Include'
    values: [
      '*'
    ]
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${prefix}-people'
  location: 'Global'
  properties: {
    groupShortName: 'pegelpeople'
    enabled: true
    emailReceivers: [
      {
        name: 'on-call'
        emailAddress: pageEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource dataOwners 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${prefix}-data-owners'
  location: 'Global'
  properties: {
    groupShortName: 'pegeldata'
    enabled: true
    emailReceivers: [
      {
        name: 'data-owner'
        emailAddress: dataOwnerEmail
        useCommonAlertSchema: true
      }
    ]
  }
}

resource retraining 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${prefix}-retraining'
  location: 'Global'
  properties: {
    groupShortName: 'pegelretrain'
    enabled: true
    webhookReceivers: [
      {
        name: 'pegel-webhook'
        serviceUri: webhookUri
        useCommonAlertSchema: true
        useAadAuth: true
        objectId: webhookApplicationObjectId
        identifierUri: webhookIdentifierUri
        tenantId: tenant().tenantId
      }
    ]
  }
}

resource pageRule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'pegel-page'
  location: location
  kind: 'LogAlert'
  properties: {
    displayName: 'pegel-page'
    description: 'An incident is open. The runbook is named in its row of PegelAlerts_CL.'
    severity: 1
    enabled: true
    scopes: [
      logsWorkspaceId
    ]
    evaluationFrequency: evaluationFrequency
    windowSize: lookBack
    criteria: {
      allOf: [
        {
          query: loadTextContent('../alert-page.kql')
          timeAggregation: 'Count'
          dimensions: incidentDimensions
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    skipQueryValidation: true
    actions: {
      actionGroups: [
        people.id
      ]
    }
  }
}

resource dataRule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'pegel-data'
  location: location
  kind: 'LogAlert'
  properties: {
    displayName: 'pegel-data'
    description: 'An incident was diagnosed as broken data or changed labels: nothing is retrained, and whoever owns the data has to look.'
    severity: 1
    enabled: true
    scopes: [
      logsWorkspaceId
    ]
    evaluationFrequency: evaluationFrequency
    windowSize: lookBack
    criteria: {
      allOf: [
        {
          query: loadTextContent('../alert-data.kql')
          timeAggregation: 'Count'
          dimensions: incidentDimensions
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    skipQueryValidation: true
    actions: {
      actionGroups: [
        dataOwners.id
      ]
    }
  }
}

// The name is in the payload, and the webhook takes calls of this rule only (webhook.rules).
resource retrainRule 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = {
  name: 'pegel-retrain'
  location: location
  kind: 'LogAlert'
  properties: {
    displayName: 'pegel-retrain'
    description: 'An incident is confirmed and asks for a retraining.'
    severity: 2
    enabled: true
    scopes: [
      logsWorkspaceId
    ]
    evaluationFrequency: evaluationFrequency
    windowSize: lookBack
    criteria: {
      allOf: [
        {
          query: loadTextContent('../alert-retrain.kql')
          timeAggregation: 'Count'
          dimensions: incidentDimensions
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    autoMitigate: true
    skipQueryValidation: true
    actions: {
      actionGroups: [
        retraining.id
      ]
    }
  }
}

// The stream of alerts is silent while all is well, so it has no heartbeat of its own. What the hubs count stands in for one.
resource noEvents 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'pegel-no-events'
  location: 'global'
  properties: {
    description: 'No prediction event has come for 15 minutes: what is not sent cannot be watched.'
    severity: 2
    enabled: true
    scopes: [
      eventHubsNamespaceId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'nothing-comes'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'IncomingMessages'
          timeAggregation: 'Total'
          operator: 'LessThanOrEqual'
          threshold: 0
          dimensions: [
            {
              name: 'EntityName'
              operator: 'Include'
              values: [
                predictionsHub
              ]
            }
          ]
        }
      ]
    }
    autoMitigate: true
    actions: [
      {
        actionGroupId: people.id
      }
    ]
  }
}

resource notRead 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'pegel-not-read'
  location: 'global'
  properties: {
    description: 'Prediction events come and nobody reads them: the stream stands still, and with it every alert.'
    severity: 1
    enabled: true
    scopes: [
      eventHubsNamespaceId
    ]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'events-come'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'IncomingMessages'
          timeAggregation: 'Total'
          operator: 'GreaterThan'
          threshold: 0
          dimensions: [
            {
              name: 'EntityName'
              operator: 'Include'
              values: [
                predictionsHub
              ]
            }
          ]
        }
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'nothing-is-read'
          metricNamespace: 'Microsoft.EventHub/namespaces'
          metricName: 'OutgoingMessages'
          timeAggregation: 'Total'
          operator: 'LessThanOrEqual'
          threshold: 0
          dimensions: [
            {
              name: 'EntityName'
              operator: 'Include'
              values: [
                predictionsHub
              ]
            }
          ]
        }
      ]
    }
    autoMitigate: true
    actions: [
      {
        actionGroupId: people.id
      }
    ]
  }
}
