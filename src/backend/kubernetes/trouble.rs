//! What keeps a pod from getting ready, in words for people that stay the same while the cause does: the kubelet's own
//! change with every try.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use super::life::how_a_container_ended;

/// Reasons of a container that only takes its time.
const PATIENT: [&str; 3] = ["", "ContainerCreating", "PodInitializing"];
/// The kubelet goes back and forth between these while an image can't be had.
const PULLS: [&str; 3] = ["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"];

/// The first trouble that a pod tells of which is not ready. `None`: it seems to be on its way.
pub(super) fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    unschedulable(status).or_else(|| {
        let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        containers.filter_map(of_container).next()
    })
}

fn unschedulable(status: &PodStatus) -> Option<String> {
    let scheduled = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled")?;
    let is_refused = scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable");
    is_refused.then(|| format!("no node takes it: {}", scheduled.message.as_deref().unwrap_or("Unschedulable").trim()))
}

fn of_container(status: &ContainerStatus) -> Option<String> {
    let ContainerStatus { name, image, .. } = status;
    let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    let message = waiting.and_then(|waiting| waiting.message.as_deref()).unwrap_or_default().trim();
    let last_end = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    match last_end {
        _ if PULLS.contains(&reason) => {
            Some(format!("container {name}: its image {image} can't be pulled; `kubectl describe pod` says why"))
        }
        // Between two tries it runs for a moment, and the trouble is the same.
        Some(end) if !status.ready && (PATIENT.contains(&reason) || reason == "CrashLoopBackOff") => {
            Some(format!("container {name} ended ({}) and is started again", how_a_container_ended(end)))
        }
        _ if PATIENT.contains(&reason) => None,
        _ if message.is_empty() => Some(format!("container {name}: {reason}")),
        _ => Some(format!("container {name}: {reason}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn trouble_of(status: &Value) -> Option<String> {
        trouble(&serde_json::from_value(json!({"status": status})).unwrap())
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"name": "server", "image": "shop:2", "imageID": "", "ready": false, "restartCount": 0,
               "state": {"waiting": {"reason": reason, "message": message}}})
    }

    #[test]
    fn what_only_takes_its_time_is_no_trouble() {
        for status in [
            json!({}),
            json!({"conditions": [{"type": "PodScheduled", "status": "True"}]}),
            json!({"containerStatuses": [waiting("ContainerCreating", "")]}),
            json!({"containerStatuses": [{"name": "server", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                   "state": {"running": {}}}]}),
        ] {
            assert_eq!(trouble_of(&status), None, "{status}");
        }
    }

    #[test]
    fn a_pod_that_no_node_takes_says_why() {
        let condition = json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                               "message": "0/2 nodes are available: 2 Insufficient memory."});
        assert_eq!(
            trouble_of(&json!({"conditions": [condition]})).unwrap(),
            "no node takes it: 0/2 nodes are available: 2 Insufficient memory."
        );
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_one_trouble_in_every_phase_of_trying() {
        let told = PULLS.map(|reason| trouble_of(&json!({"containerStatuses": [waiting(reason, "back-off 10s")]})));
        let text = "container server: its image shop:2 can't be pulled; `kubectl describe pod` says why";
        assert_eq!(told, [Some(text.to_owned()), Some(text.to_owned()), Some(text.to_owned())]);
    }

    #[test]
    fn a_container_that_keeps_ending_is_one_trouble_while_it_runs_and_while_it_waits() {
        let last = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
        let text = "container server ended (exit status 3) and is started again";
        for state in [json!({"running": {}}), waiting("CrashLoopBackOff", "back-off 40s")["state"].clone()] {
            let mut status = waiting("", "");
            status["state"] = state;
            status["lastState"] = last.clone();
            status["restartCount"] = json!(4);
            assert_eq!(trouble_of(&json!({"containerStatuses": [status]})).unwrap(), text);
        }
    }

    #[test]
    fn what_the_kubelet_cannot_set_up_is_told_in_its_words() {
        let status = waiting("CreateContainerConfigError", "secret \"token\" not found");
        assert_eq!(
            trouble_of(&json!({"initContainerStatuses": [status]})).unwrap(),
            "container server: CreateContainerConfigError: secret \"token\" not found"
        );
    }
}
